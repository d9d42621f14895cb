//! Each RPC and its operation, one line each. The order is that of the `.proto` files.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::{Hub, call, connection, leash, named, reply};
use crate::api::v1::audit_server::Audit;
use crate::api::v1::cases_server::Cases;
use crate::api::v1::certificates_server::Certificates;
use crate::api::v1::connection_server::Connection;
use crate::api::v1::consents_server::Consents;
use crate::api::v1::covenants_server::Covenants;
use crate::api::v1::directory_server::Directory;
use crate::api::v1::inbox_server::Inbox;
use crate::api::v1::pseudonyms_server::Pseudonyms;
use crate::api::v1::records_server::Records;
use crate::api::v1::registry_server::Registry;
use crate::api::v1::simulation_server::Simulation;
use crate::api::v1::*;
use crate::exchange::ops::changes::Propose;
use crate::exchange::ops::{
    audit, case_read, case_state, certificates, changes, connection as testing, consents, covenants, directory, erase,
    evidence, inbox, mandates, membership, newcomer, pseudonyms, publish, query, records, refer, registry, renewal,
    revocation, roles, route, simulation, succession,
};
use crate::exchange::spool::{Arriving, SpoolError};
use crate::exchange::stream::{Ended, Outgoing};
use crate::exchange::{Call, Operation as _, Refused};
use crate::ground::Refusal;
use crate::reason::Reason;
use crate::serve::leash::Leash;
use crate::status::{early, status};
use crate::tls::PeerInfo;
use crate::wire::timestamp;

fn refused_certificate(one: crate::tls::Refusal) -> RefusedCertificate {
    RefusedCertificate {
        first_time: Some(timestamp(one.first)),
        last_time: Some(timestamp(one.last)),
        count: one.count,
        address: one.address.to_string(),
        fault: one.failure.code().to_owned(),
        reason: one.failure.reason().map(|reason| reason.code().to_owned()).unwrap_or_default(),
        set: one.set.unwrap_or_default(),
        about: one.about,
        subject: one.subject,
        issuer: one.issuer,
        serial_number: one.serial,
        key_hash: one.key_hash,
    }
}

type Reply<T> = Result<Response<T>, Status>;
type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

fn outgoing<T: Send + 'static>(stream: Outgoing<T>, leash: Leash) -> Stream<T> {
    Box::pin(leash.stream(stream.map(|item| {
        item.map_err(|ended| match ended {
            Ended::Refused(refused) => status(&refused),
            Ended::Stalled => early::stalled(),
        })
    })))
}

#[tonic::async_trait]
impl Directory for Hub {
    async fn list_partners(&self, r: Request<ListPartnersRequest>) -> Reply<ListPartnersResponse> {
        self.unary::<directory::ListPartners>(r).await
    }
    async fn get_partner(&self, r: Request<GetPartnerRequest>) -> Reply<Partner> {
        self.unary::<directory::GetPartner>(r).await
    }
    async fn publish_keys(&self, r: Request<PublishKeysRequest>) -> Reply<PublishKeysResponse> {
        self.unary::<directory::PublishKeys>(r).await
    }
}

#[tonic::async_trait]
impl Covenants for Hub {
    async fn get_covenant(&self, r: Request<GetCovenantRequest>) -> Reply<Covenant> {
        self.unary::<covenants::GetCovenant>(r).await
    }
    async fn sign_covenant(&self, r: Request<SignCovenantRequest>) -> Reply<CovenantSignature> {
        self.unary::<covenants::SignCovenant>(r).await
    }
    async fn explain_decision(&self, r: Request<ExplainDecisionRequest>) -> Reply<Explanation> {
        self.unary::<covenants::ExplainDecision>(r).await
    }
}

#[tonic::async_trait]
impl Pseudonyms for Hub {
    async fn resolve_pseudonym(&self, r: Request<ResolvePseudonymRequest>) -> Reply<ResolvePseudonymResponse> {
        self.unary::<pseudonyms::ResolvePseudonym>(r).await
    }
    async fn check_known_answer(&self, r: Request<CheckKnownAnswerRequest>) -> Reply<CheckKnownAnswerResponse> {
        self.unary::<pseudonyms::CheckKnownAnswer>(r).await
    }
}

#[tonic::async_trait]
impl Cases for Hub {
    async fn refer_case(&self, r: Request<ReferCaseRequest>) -> Reply<Case> {
        self.unary::<refer::ReferCase>(r).await
    }
    async fn get_case(&self, r: Request<GetCaseRequest>) -> Reply<Case> {
        self.unary::<case_read::GetCase>(r).await
    }
    async fn list_cases(&self, r: Request<ListCasesRequest>) -> Reply<ListCasesResponse> {
        self.unary::<case_read::ListCases>(r).await
    }
    async fn assign_role(&self, r: Request<AssignRoleRequest>) -> Reply<Assignment> {
        self.unary::<roles::AssignRole>(r).await
    }
    async fn end_role(&self, r: Request<EndRoleRequest>) -> Reply<Assignment> {
        self.unary::<roles::EndRole>(r).await
    }
    async fn hand_over_case(&self, r: Request<HandOverCaseRequest>) -> Reply<Case> {
        self.unary::<roles::HandOverCase>(r).await
    }
    async fn advance_phase(&self, r: Request<AdvancePhaseRequest>) -> Reply<Case> {
        self.unary::<case_state::AdvancePhase>(r).await
    }
    async fn choose_provider(&self, r: Request<ChooseProviderRequest>) -> Reply<Case> {
        self.unary::<case_state::ChooseProvider>(r).await
    }
    async fn record_measure(&self, r: Request<RecordMeasureRequest>) -> Reply<Case> {
        self.unary::<case_state::RecordMeasure>(r).await
    }
    async fn update_consent_regime(&self, r: Request<UpdateConsentRegimeRequest>) -> Reply<Case> {
        self.unary::<case_state::UpdateConsentRegime>(r).await
    }
    async fn restrict_case(&self, r: Request<RestrictCaseRequest>) -> Reply<Case> {
        self.unary::<case_state::RestrictCase>(r).await
    }
    async fn start_escalation(&self, r: Request<StartEscalationRequest>) -> Reply<Case> {
        self.unary::<case_state::StartEscalation>(r).await
    }
    async fn end_escalation(&self, r: Request<EndEscalationRequest>) -> Reply<Case> {
        self.unary::<case_state::EndEscalation>(r).await
    }
    async fn close_case(&self, r: Request<CloseCaseRequest>) -> Reply<Case> {
        self.unary::<case_state::CloseCase>(r).await
    }
}

#[tonic::async_trait]
impl Consents for Hub {
    async fn record_consent(&self, r: Request<RecordConsentRequest>) -> Reply<Consent> {
        self.unary::<consents::RecordConsent>(r).await
    }
    async fn withdraw_consent(&self, r: Request<WithdrawConsentRequest>) -> Reply<Consent> {
        self.unary::<consents::WithdrawConsent>(r).await
    }
    async fn list_consents(&self, r: Request<ListConsentsRequest>) -> Reply<ListConsentsResponse> {
        self.unary::<consents::ListConsents>(r).await
    }
}

#[tonic::async_trait]
impl Records for Hub {
    type FetchRecordStream = Stream<FetchRecordResponse>;
    type StreamSealRequestsStream = Stream<SealRequest>;

    async fn plan_route(&self, r: Request<PlanRouteRequest>) -> Reply<RoutePlan> {
        self.unary::<route::PlanRoute>(r).await
    }
    async fn publish_record(&self, r: Request<Streaming<PublishRecordRequest>>) -> Reply<PublishRecordResponse> {
        let call = call(&r)?;
        // Nothing is kept for a stranger.
        self.exchange.precheck(&call).await.map_err(|refused| status(&refused))?;
        match self.receive(r.into_inner()).await {
            Ok(upload) => reply(self.exchange.handle::<publish::PublishRecord>(&call, upload).await),
            Err(refusal) => Err(self.refused(&call, refusal).await),
        }
    }
    async fn fetch_record(&self, r: Request<FetchRecordRequest>) -> Reply<Self::FetchRecordStream> {
        let (call, leash) = (call(&r)?, leash(&r)?);
        let request = r.into_inner();
        let fetch = records::FetchRecord::parse(request.clone());
        let answer = self.exchange.handle::<records::FetchRecord>(&call, request).await;
        let answer = answer.map_err(|refused| status(&refused))?;
        let fetch = fetch.map_err(|_| Status::internal("what was answered can't be read"))?;
        let pieces = self.exchange.stream_pieces(answer.reply, call, fetch, self.patience);
        Ok(named(Response::new(outgoing(pieces, leash)), &answer.event))
    }
    async fn list_records(&self, r: Request<ListRecordsRequest>) -> Reply<ListRecordsResponse> {
        self.unary::<records::ListRecords>(r).await
    }
    async fn request_records(&self, r: Request<RequestRecordsRequest>) -> Reply<RequestRecordsResponse> {
        self.unary::<records::RequestRecords>(r).await
    }
    async fn stream_seal_requests(
        &self,
        r: Request<StreamSealRequestsRequest>,
    ) -> Reply<Self::StreamSealRequestsStream> {
        let (call, leash) = (call(&r)?, leash(&r)?);
        let answer = self.exchange.handle::<inbox::OpenSealRequests>(&call, r.into_inner()).await;
        let answer = answer.map_err(|refused| status(&refused))?;
        let stream = self.exchange.stream_seal_requests(call, self.patience);
        Ok(named(Response::new(outgoing(stream, leash)), &answer.event))
    }
    async fn add_recipient(&self, r: Request<AddRecipientRequest>) -> Reply<AddRecipientResponse> {
        self.unary::<newcomer::AddRecipient>(r).await
    }
}

impl Hub {
    /// Takes a body into the spool: a first message that opens, then ciphertext.
    async fn receive(&self, mut stream: Streaming<PublishRecordRequest>) -> Result<publish::Upload, Refusal> {
        use publish_record_request::Chunk;
        let bad = || Refusal::malformed("", "messages of the documented type, within their size, up to the end");
        let mut first = stream.message().await.map_err(|_| bad())?.ok_or_else(bad)?;
        let Some(open) = first.open.take() else {
            return Err(Refusal::malformed("open", "the first message opens the publication"));
        };
        let mut arriving = Arriving::new(&self.exchange.settings.spool);
        let mut next = Some(first);
        while let Some(message) = next {
            if message.open.is_some() {
                return Err(Refusal::malformed("open", "only the first message opens"));
            }
            match message.chunk {
                None => {}
                Some(Chunk::Sealed(bytes)) => arriving.push(&bytes).await.map_err(|e| spool_refusal(&e))?,
                Some(Chunk::Plain(_)) => {
                    return Err(Refusal::malformed("plain", "sealed content: plain content goes to an agent"));
                }
            }
            next = stream.message().await.map_err(|_| bad())?;
        }
        let body = arriving.finish().await.map_err(|e| spool_refusal(&e))?;
        Ok(publish::Upload { open, body })
    }

    async fn refused(&self, call: &Call, refusal: Refusal) -> Status {
        call.progress.begin();
        let refused: Refused = self.exchange.refuse(refusal, true, self.exchange.draft(call)).await;
        status(&refused)
    }
}

fn spool_refusal(error: &SpoolError) -> Refusal {
    match error {
        SpoolError::TooLarge => Refusal::malformed("sealed", "at most 25 MiB of content"),
        SpoolError::Disk(_) => {
            tracing::error!(error = %crate::telemetry::Chain(error), "spool not writable");
            Refusal { fault: true, ..Refusal::denied(Reason::LogUnavailable) }
        }
    }
}

#[tonic::async_trait]
impl Inbox for Hub {
    type StreamInboxStream = Stream<InboxItem>;

    async fn stream_inbox(&self, r: Request<StreamInboxRequest>) -> Reply<Self::StreamInboxStream> {
        let (call, leash) = (call(&r)?, leash(&r)?);
        let request = r.into_inner();
        let drain = request.drain;
        let answer = self.exchange.handle::<inbox::OpenInbox>(&call, request).await;
        let answer = answer.map_err(|refused| status(&refused))?;
        let after = answer.reply.cursor.parse().unwrap_or(0);
        let stream = self.exchange.stream_inbox(call, after, drain, self.patience);
        Ok(named(Response::new(outgoing(stream, leash)), &answer.event))
    }
    async fn acknowledge_inbox(&self, r: Request<AcknowledgeInboxRequest>) -> Reply<AcknowledgeInboxResponse> {
        self.unary::<inbox::AcknowledgeInbox>(r).await
    }
}

#[tonic::async_trait]
impl Audit for Hub {
    async fn query_events(&self, r: Request<QueryEventsRequest>) -> Reply<QueryEventsResponse> {
        self.unary::<query::QueryEvents>(r).await
    }
    async fn report_refusal(&self, r: Request<ReportRefusalRequest>) -> Reply<ReportRefusalResponse> {
        self.unary::<audit::ReportRefusal>(r).await
    }
    async fn prove_events(&self, r: Request<ProveEventsRequest>) -> Reply<ProveEventsResponse> {
        self.unary::<evidence::ProveEvents>(r).await
    }
    async fn read_entries(&self, r: Request<ReadEntriesRequest>) -> Reply<ReadEntriesResponse> {
        self.unary::<evidence::ReadEntries>(r).await
    }
    async fn erase_events(&self, r: Request<EraseEventsRequest>) -> Reply<EraseEventsResponse> {
        self.unary::<erase::EraseEvents>(r).await
    }
}

#[tonic::async_trait]
impl Registry for Hub {
    async fn register_partner(&self, r: Request<RegisterPartnerRequest>) -> Reply<Partner> {
        self.unary::<Propose<registry::RegisterPartner>>(r).await
    }
    async fn register_certificate(&self, r: Request<RegisterCertificateRequest>) -> Reply<RegisteredCertificate> {
        self.unary::<Propose<certificates::RegisterCertificate>>(r).await
    }
    async fn revoke_certificate(&self, r: Request<RevokeCertificateRequest>) -> Reply<RegisteredCertificate> {
        self.unary::<Propose<revocation::RevokeCertificate>>(r).await
    }
    async fn retire_certificate(&self, r: Request<RetireCertificateRequest>) -> Reply<RegisteredCertificate> {
        self.unary::<certificates::RetireCertificate>(r).await
    }
    async fn list_certificates(&self, r: Request<ListCertificatesRequest>) -> Reply<ListCertificatesResponse> {
        self.unary::<certificates::ListCertificates>(r).await
    }
    async fn list_pending_changes(&self, r: Request<ListPendingChangesRequest>) -> Reply<ListPendingChangesResponse> {
        self.unary::<changes::ListPendingChanges>(r).await
    }
    async fn register_mandate(&self, r: Request<RegisterMandateRequest>) -> Reply<RegisteredMandate> {
        self.unary::<Propose<mandates::RegisterMandate>>(r).await
    }
    async fn end_mandate(&self, r: Request<EndMandateRequest>) -> Reply<RegisteredMandate> {
        self.unary::<mandates::EndMandate>(r).await
    }
    async fn list_mandates(&self, r: Request<ListMandatesRequest>) -> Reply<ListMandatesResponse> {
        self.unary::<mandates::ListMandates>(r).await
    }
    async fn confirm_change(&self, r: Request<ConfirmChangeRequest>) -> Reply<ConfirmChangeResponse> {
        self.unary::<changes::ConfirmChange>(r).await
    }
    async fn cancel_change(&self, r: Request<CancelChangeRequest>) -> Reply<PendingChange> {
        self.unary::<changes::CancelChange>(r).await
    }
    async fn set_partner_status(&self, r: Request<SetPartnerStatusRequest>) -> Reply<Partner> {
        self.unary::<Propose<membership::SetPartnerStatus>>(r).await
    }
    async fn succeed_partner(&self, r: Request<SucceedPartnerRequest>) -> Reply<Partner> {
        self.unary::<Propose<succession::SucceedPartner>>(r).await
    }
    async fn list_successions(&self, r: Request<ListSuccessionsRequest>) -> Reply<ListSuccessionsResponse> {
        self.unary::<succession::ListSuccessions>(r).await
    }
    async fn list_refusals(&self, r: Request<ListRefusalsRequest>) -> Reply<ListRefusalsResponse> {
        // First that somebody looks at them is written down.
        let mut answer = self.unary::<registry::ListRefusals>(r).await?;
        *answer.get_mut() = ListRefusalsResponse {
            node: self.exchange.settings.node.clone(),
            refusals: self.node.refusals.list().into_iter().map(refused_certificate).collect(),
        };
        Ok(answer)
    }
    async fn reload_node(&self, r: Request<ReloadNodeRequest>) -> Reply<ReloadNodeResponse> {
        let mut answer = self.unary::<registry::ReloadNode>(r).await?;
        let settings = &self.exchange.settings;
        let cut = self.node.reload.ask().await.map_err(|why| {
            let mut status = Status::failed_precondition(format!("nothing was loaded anew: {why}"));
            // The event of having asked.
            status.metadata_mut().clone_from(answer.metadata());
            status
        })?;
        *answer.get_mut() = ReloadNodeResponse {
            node: settings.node.clone(),
            connections_cut: u32::try_from(cut).unwrap_or(u32::MAX),
            sets: registry::anchor_sets(&settings.trust.borrow()),
        };
        Ok(answer)
    }
}

#[tonic::async_trait]
impl Certificates for Hub {
    async fn renew_certificate(&self, r: Request<RenewCertificateRequest>) -> Reply<CertificateRequest> {
        self.unary::<renewal::RenewCertificate>(r).await
    }
    async fn list_certificate_requests(
        &self,
        r: Request<ListCertificateRequestsRequest>,
    ) -> Reply<ListCertificateRequestsResponse> {
        self.unary::<renewal::ListCertificateRequests>(r).await
    }
    async fn answer_certificate_request(
        &self,
        r: Request<AnswerCertificateRequestRequest>,
    ) -> Reply<CertificateRequest> {
        self.unary::<renewal::AnswerCertificateRequest>(r).await
    }
}

#[tonic::async_trait]
impl Connection for Hub {
    async fn test_connection(&self, r: Request<TestConnectionRequest>) -> Reply<TestConnectionResponse> {
        let peer = r.extensions().get::<Arc<PeerInfo>>().cloned();
        let agent = call(&r)?.client.version();
        let mut answer = self.unary::<testing::TestConnection>(r).await?;
        if let Some(peer) = peer {
            connection::fill_in(answer.get_mut(), &peer, agent);
        }
        Ok(answer)
    }
}

#[tonic::async_trait]
impl Simulation for Hub {
    async fn advance_clock(&self, r: Request<AdvanceClockRequest>) -> Reply<AdvanceClockResponse> {
        self.unary::<simulation::AdvanceClock>(r).await
    }
}
