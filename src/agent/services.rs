//! The API as the partner's own systems see it. Most calls are passed on; what is done here stands in a module of its
//! own: subjects, publishing, fetching.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::Agent;
use super::nodes::Again;
use super::refusal::{DOMAIN, Violation};
use super::subject::Concealed;
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::cases_client::CasesClient;
use crate::api::v1::connection_client::ConnectionClient;
use crate::api::v1::consents_client::ConsentsClient;
use crate::api::v1::covenants_client::CovenantsClient;
use crate::api::v1::directory_client::DirectoryClient;
use crate::api::v1::inbox_client::InboxClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;
use crate::api::v1::records_client::RecordsClient;
use crate::reason::Reason;
use crate::serve::leash::Leash;

/// Messages of a stream, with backpressure from its reader to the hub.
pub(super) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Bytes of an answer: a bundle of 256 leaves, each of 64 KiB at most.
const MOST: usize = 17 << 20;

/// Writes the calls of a service: those passed on as they are, those whose subject is concealed first, and the rest.
macro_rules! service {
    (
        $server:ident :: $trait:ident, $client:ident, $service:literal:
        pass { $($pass:ident $pass_name:literal ($pass_in:ident) $pass_out:ident;)* }
        conceal { $($hide:ident $hide_name:literal ($hide_in:ident) $hide_out:ident;)* }
        $($own:tt)*
    ) => {
        #[tonic::async_trait]
        impl v1::$server::$trait for Agent {
            $(async fn $pass(&self, request: Request<v1::$pass_in>) -> Result<Response<v1::$pass_out>, Status> {
                let method = concat!("sluis.v1.", $service, "/", $pass_name);
                self.unary(method, request, |hub, request| async move {
                    $client::new(hub).max_decoding_message_size(MOST).$pass(request).await
                }).await
            })*
            $(async fn $hide(&self, request: Request<v1::$hide_in>) -> Result<Response<v1::$hide_out>, Status> {
                let method = concat!("sluis.v1.", $service, "/", $hide_name);
                let Concealed { request, again, about_subject } = self.conceal(method, request).await?;
                let call = |hub, request| async move { $client::new(hub).$hide(request).await };
                if about_subject {
                    self.send_subject(method, request, again, call).await
                } else {
                    self.send(method, request, again, call).await
                }
            })*
            $($own)*
        }
    };
}

service! { directory_server::Directory, DirectoryClient, "Directory":
    pass {
        list_partners "ListPartners" (ListPartnersRequest) ListPartnersResponse;
        get_partner "GetPartner" (GetPartnerRequest) Partner;
    }
    conceal {}

    async fn publish_keys(
        &self,
        mut request: Request<v1::PublishKeysRequest>,
    ) -> Result<Response<v1::PublishKeysResponse>, Status> {
        let method = "sluis.v1.Directory/PublishKeys";
        let look = self.inspect(method, request.get_ref()).await?;
        if request.get_ref().keys.is_some() {
            let violation = [Violation::new("keys", "nothing: the agent publishes its own")];
            return Err(self.refuse(method, &look, Reason::RequestIncomplete, &violation).await);
        }
        let keys = self.own.published().map_err(|_| Status::internal("the certificate's key can't sign"))?;
        request.get_mut().keys = Some(keys.clone());
        let call = |hub, request| async move { DirectoryClient::new(hub).publish_keys(request).await };
        let done = self.send(method, request, Again::by(&look), call).await?;
        self.own.was_published(&keys);
        Ok(done)
    }
}

service! { covenants_server::Covenants, CovenantsClient, "Covenants":
    pass {
        get_covenant "GetCovenant" (GetCovenantRequest) Covenant;
        explain_decision "ExplainDecision" (ExplainDecisionRequest) Explanation;
    }
    conceal {}

    async fn sign_covenant(
        &self,
        mut request: Request<v1::SignCovenantRequest>,
    ) -> Result<Response<v1::CovenantSignature>, Status> {
        let method = "sluis.v1.Covenants/SignCovenant";
        let look = self.inspect(method, request.get_ref()).await?;
        let message = request.get_mut();
        if !message.signature.is_empty() || !message.certificate_chain.is_empty() || message.signature_scheme != 0 {
            let violation = [Violation::new("signature", "nothing: the agent signs")];
            return Err(self.refuse(method, &look, Reason::RequestIncomplete, &violation).await);
        }
        let copy = &self.covenant;
        if message.name != copy.name || message.content_hash != copy.content_hash {
            return Err(Status::failed_precondition(
                "this is not the covenant that the agent has: its own copy has another name or content hash; update the \
                 agent, or read what you were given again",
            ));
        }
        if self.own.is_delegated() {
            return Err(Status::failed_precondition(
                "this agent acts by mandate, and the partner itself signs: with its own certificate, at the hub \
                 (sluis covenant sign --own-key)",
            ));
        }
        let signed = self.own.sign_covenant(&copy.content_hash);
        let (signed, chain) = signed.map_err(|_| Status::internal("the certificate's key can't sign"))?;
        message.signature_scheme = signed.scheme.code().into();
        message.signature = signed.signature;
        message.certificate_chain = chain;
        let call = |hub, request| async move { CovenantsClient::new(hub).sign_covenant(request).await };
        self.send(method, request, Again::by(&look), call).await
    }
}

service! { connection_server::Connection, ConnectionClient, "Connection":
    pass { test_connection "TestConnection" (TestConnectionRequest) TestConnectionResponse; }
    conceal {}
}

service! { pseudonyms_server::Pseudonyms, PseudonymsClient, "Pseudonyms":
    pass { check_known_answer "CheckKnownAnswer" (CheckKnownAnswerRequest) CheckKnownAnswerResponse; }
    conceal { resolve_pseudonym "ResolvePseudonym" (ResolvePseudonymRequest) ResolvePseudonymResponse; }
}

service! { cases_server::Cases, CasesClient, "Cases":
    pass {
        list_cases "ListCases" (ListCasesRequest) ListCasesResponse;
        assign_role "AssignRole" (AssignRoleRequest) Assignment;
        end_role "EndRole" (EndRoleRequest) Assignment;
        hand_over_case "HandOverCase" (HandOverCaseRequest) Case;
        advance_phase "AdvancePhase" (AdvancePhaseRequest) Case;
        choose_provider "ChooseProvider" (ChooseProviderRequest) Case;
        record_measure "RecordMeasure" (RecordMeasureRequest) Case;
        update_consent_regime "UpdateConsentRegime" (UpdateConsentRegimeRequest) Case;
        restrict_case "RestrictCase" (RestrictCaseRequest) Case;
        start_escalation "StartEscalation" (StartEscalationRequest) Case;
        end_escalation "EndEscalation" (EndEscalationRequest) Case;
        close_case "CloseCase" (CloseCaseRequest) Case;
    }
    conceal {
        refer_case "ReferCase" (ReferCaseRequest) Case;
        get_case "GetCase" (GetCaseRequest) Case;
    }
}

service! { consents_server::Consents, ConsentsClient, "Consents":
    pass {
        record_consent "RecordConsent" (RecordConsentRequest) Consent;
        withdraw_consent "WithdrawConsent" (WithdrawConsentRequest) Consent;
        list_consents "ListConsents" (ListConsentsRequest) ListConsentsResponse;
    }
    conceal {}
}

service! { audit_server::Audit, AuditClient, "Audit":
    pass {
        query_events "QueryEvents" (QueryEventsRequest) QueryEventsResponse;
        prove_events "ProveEvents" (ProveEventsRequest) ProveEventsResponse;
        read_entries "ReadEntries" (ReadEntriesRequest) ReadEntriesResponse;
        erase_events "EraseEvents" (EraseEventsRequest) EraseEventsResponse;
    }
    conceal {}

    async fn report_refusal(
        &self,
        _: Request<v1::ReportRefusalRequest>,
    ) -> Result<Response<v1::ReportRefusalResponse>, Status> {
        Err(between_agent_and_hub())
    }
}

service! { inbox_server::Inbox, InboxClient, "Inbox":
    pass { acknowledge_inbox "AcknowledgeInbox" (AcknowledgeInboxRequest) AcknowledgeInboxResponse; }
    conceal {}

    type StreamInboxStream = Messages<v1::InboxItem>;

    async fn stream_inbox(
        &self,
        request: Request<v1::StreamInboxRequest>,
    ) -> Result<Response<Self::StreamInboxStream>, Status> {
        self.follow_inbox(request).await
    }
}

service! { records_server::Records, RecordsClient, "Records":
    pass {
        plan_route "PlanRoute" (PlanRouteRequest) RoutePlan;
        list_records "ListRecords" (ListRecordsRequest) ListRecordsResponse;
        request_records "RequestRecords" (RequestRecordsRequest) RequestRecordsResponse;
    }
    conceal {}

    type FetchRecordStream = Messages<v1::FetchRecordResponse>;
    type StreamSealRequestsStream = Messages<v1::SealRequest>;

    async fn publish_record(
        &self,
        request: Request<Streaming<v1::PublishRecordRequest>>,
    ) -> Result<Response<v1::PublishRecordResponse>, Status> {
        self.publish(request).await
    }

    async fn fetch_record(
        &self,
        request: Request<v1::FetchRecordRequest>,
    ) -> Result<Response<Self::FetchRecordStream>, Status> {
        self.fetch(request).await
    }

    async fn stream_seal_requests(
        &self,
        _: Request<v1::StreamSealRequestsRequest>,
    ) -> Result<Response<Self::StreamSealRequestsStream>, Status> {
        Err(between_agent_and_hub())
    }

    async fn add_recipient(
        &self,
        _: Request<v1::AddRecipientRequest>,
    ) -> Result<Response<v1::AddRecipientResponse>, Status> {
        Err(between_agent_and_hub())
    }
}

/// A stream that ends with the call's deadline, or with the process.
pub(super) fn held<T, S>(messages: S, leash: Option<Leash>) -> Messages<T>
where
    S: Stream<Item = Result<T, Status>> + Send + Unpin + 'static,
{
    match leash {
        Some(leash) => Box::pin(leash.stream(messages)),
        None => Box::pin(messages),
    }
}

/// Calls that only an agent makes.
fn between_agent_and_hub() -> Status {
    let details = ErrorDetails::with_error_info("REFUSED", DOMAIN, []);
    Status::with_error_details(Code::PermissionDenied, "this call is between the agent and the hub", details)
}
