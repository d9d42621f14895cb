//! The good request of each RPC, and the caller that makes of it the case of a column.

use prost::Message;
use sluis::api::v1;

use super::table::Cell;
use crate::calls::Client;
use crate::direct::{AANMELDING, Draft, FASE, Players, ROL, TOESTEMMING, Why, consent, regime, subject, why};
use crate::mandates::{OTHER_SUPPLIER, SUPPLIER, delegated, mandate};
use crate::network::{Database, GI, Holder, Network, Party, ask_status, id, publish_keys, renewal};

/// Parties of every standing.
pub(super) struct Stage<'n> {
    network: &'n Network,
    database: &'n Database,
    players: Players,
    gi: Party,
    suspended: Party,
    unsigned: Party,
    outsider: Party,
    anonymous: Client,
    stranger: Holder,
    unregistered: Holder,
    leaver: Party,
    second_operator: Holder,
    /// Of the usual municipality, the institution and the office.
    suppliers: [Holder; 3],
}

/// A call that is ready to be made.
pub(super) struct Prepared {
    pub(super) client: Client,
    pub(super) messages: Vec<Vec<u8>>,
    /// Replies to wait for; streams that wait are left at once.
    pub(super) replies: usize,
}

/// Who the right caller is, by kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gemeente,
    Gi,
    Netwerk,
    Officer,
    Operator,
}

/// What a request is made of.
struct Given<'s> {
    caller: &'s Party,
    /// The case as the right caller names it.
    case: String,
    role: Option<v1::Role>,
    /// The case has gone past the phase of the article.
    late: bool,
}

impl Given<'_> {
    fn why(&self, right: &Why) -> Option<v1::RequestContext> {
        let role = self.role.unwrap_or(right.role);
        Why { role, ..right.clone() }.because("proef van de tabel").context()
    }
}

impl<'n> Stage<'n> {
    pub(super) async fn set(network: &'n Network, database: &'n Database) -> Self {
        use v1::OrganisationKind::{Gemeente, Gi};
        let players = Players::join(network).await;
        let gi = network.partner(GI, Gi).await;
        let suspended = network.partner("00000099100001430000", Gemeente).await;
        network.set_status(suspended.oin(), v1::PartnerStatus::Suspended).await;
        network.until_cut().await;
        let unsigned = network.registered("00000099100001440000", Gemeente).await;
        network.publish_keys(&unsigned).await;
        network.officer.greet().await;
        let suppliers = [
            delegated(network, &players.gemeente.holder, SUPPLIER).await.holder,
            delegated(network, &gi.holder, SUPPLIER).await.holder,
            delegated(network, &network.netwerk.holder, SUPPLIER).await.holder,
        ];
        for supplier in &suppliers {
            supplier.greet().await;
        }
        Self {
            suppliers,
            second_operator: network.second_operator().await,
            outsider: network.partner(crate::network::ANDERE_GEMEENTE, Gemeente).await,
            leaver: network.registered("00000099100001450000", Gemeente).await,
            anonymous: network.anonymous(),
            stranger: network.stranger(crate::network::GEMEENTE).await,
            unregistered: network.certificate(crate::network::GEMEENTE).await,
            network,
            database,
            players,
            gi,
            suspended,
            unsigned,
        }
    }

    /// Organisation that the event of a cell must name, where it does not depend on the row.
    pub(super) fn organisation(&self, cell: Cell) -> Option<&str> {
        match cell {
            Cell::Suspended => Some(self.suspended.oin().as_str()),
            Cell::Unsigned => Some(self.unsigned.oin().as_str()),
            Cell::NoRole => Some(self.outsider.oin().as_str()),
            Cell::Unregistered => Some(crate::network::GEMEENTE),
            // In its customer's name; which one is the row's.
            Cell::Supplier => None,
            _ => None,
        }
    }

    /// How many events of this name the network's officer finds.
    pub(super) async fn officer_finds(&self, event: &str) -> usize {
        let request = v1::QueryEventsRequest {
            context: why("36", "verantwoording", v1::Role::R14).context(),
            event: event.to_owned(),
            ..v1::QueryEventsRequest::default()
        };
        let call = self.network.officer.client.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &request);
        let events = call.await.unwrap().message.events;
        assert!(events.iter().all(|found| found.name == event));
        events.len()
    }

    pub(super) async fn prepare(&self, rpc: &str, cell: Cell) -> Prepared {
        let kind = kind(rpc);
        let about_itself = ["Directory/", "Covenants/", "Connection/", "Certificates/Renew"];
        let about_itself = about_itself.iter().any(|start| rpc.starts_with(start));
        let author =
            if cell == Cell::Unsigned && about_itself && !needs_case(rpc) { &self.unsigned } else { self.author(kind) };
        let late = cell == Cell::WrongPhase;
        let role = (cell == Cell::WrongRole).then_some(v1::Role::R18);
        let mut given = Given { caller: author, case: String::new(), role, late };
        if needs_case(rpc) {
            given.case = author.refer(None).await.unwrap().message.name;
            author.move_to(&given.case, needed_phase(rpc)).await;
        }
        let messages = self.messages(rpc, &given).await;
        if late && needs_case(rpc) {
            self.pass(author, &given.case, late_phase(rpc)).await;
        }
        let client = match cell {
            Cell::NoCertificate => &self.anonymous,
            Cell::WrongCa => &self.stranger.client,
            Cell::Unregistered => &self.unregistered.client,
            Cell::Suspended => self.suspended.client(),
            Cell::Unsigned => self.unsigned.client(),
            Cell::NoRole => self.outsider.client(),
            Cell::WrongRole if !acts_in_role(rpc) => match kind {
                Kind::Operator => self.players.gemeente.client(),
                _ => &self.network.operator.client,
            },
            Cell::Supplier => match kind {
                Kind::Gi => &self.suppliers[1].client,
                Kind::Netwerk => &self.suppliers[2].client,
                Kind::Gemeente | Kind::Officer | Kind::Operator => &self.suppliers[0].client,
            },
            Cell::WrongRole | Cell::WrongPhase | Cell::Right => match kind {
                Kind::Officer => &self.network.officer.client,
                Kind::Operator => &self.network.operator.client,
                Kind::Gemeente | Kind::Gi | Kind::Netwerk => author.client(),
            },
        };
        let replies = if rpc == "Records/StreamSealRequests" { 0 } else { usize::MAX };
        Prepared { client: client.clone(), messages, replies }
    }

    fn author(&self, kind: Kind) -> &Party {
        match kind {
            Kind::Gi => &self.gi,
            Kind::Netwerk => &self.network.netwerk,
            Kind::Gemeente | Kind::Officer | Kind::Operator => &self.players.gemeente,
        }
    }

    /// Moves a case past the phase of an article, or closes it.
    async fn pass(&self, holder: &Party, case: &str, phase: v1::Phase) {
        if phase == v1::Phase::F8 {
            // Refused if it is there already.
            drop(holder.advance(case, v1::Phase::F7).await);
            let request = close(case, why("37", "beheer", v1::Role::R02).context());
            holder.client().call::<_, v1::Case>("Cases/CloseCase", &request).await.unwrap();
        } else {
            holder.move_to(case, phase).await;
        }
    }

    /// Messages of the good request. What it needs is made first; what the column changes comes after.
    async fn messages(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        match rpc.split_once('/').unwrap().0 {
            "Directory" | "Connection" | "Covenants" | "Pseudonyms" => self.office(rpc, given).await,
            "Certificates" => self.certificates(rpc, given).await,
            "Cases" => self.cases(rpc, given).await,
            "Consents" => self.consents(rpc, given).await,
            "Records" => self.records(rpc, given).await,
            "Inbox" | "Audit" => self.inbox_and_audit(rpc, given).await,
            _ => self.operators(rpc).await,
        }
    }

    async fn office(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        let party = given.caller;
        match rpc {
            "Directory/ListPartners" => one(&v1::ListPartnersRequest::default()),
            "Directory/GetPartner" => one(&v1::GetPartnerRequest { name: party.name() }),
            "Directory/PublishKeys" => one(&publish_keys(party)),
            "Connection/TestConnection" => one(&v1::TestConnectionRequest::default()),
            "Covenants/GetCovenant" => one(&v1::GetCovenantRequest::default()),
            "Covenants/SignCovenant" => one(&self.network.signature(party).await),
            "Covenants/ExplainDecision" => one(&v1::ExplainDecisionRequest {
                context: given.why(&AANMELDING),
                case: given.case.clone(),
                send: true,
                category: v1::Category::C06 as i32,
                form: v1::Form::P as i32,
                counterpart: self.network.netwerk.name(),
                counterpart_role: v1::Role::R03 as i32,
            }),
            "Pseudonyms/ResolvePseudonym" => one(&v1::ResolvePseudonymRequest {
                context: given.why(&why("5", "beheer", v1::Role::R01)),
                subject: subject(Some(self.network.voprf("999907141"))),
            }),
            "Pseudonyms/CheckKnownAnswer" => {
                one(&v1::CheckKnownAnswerRequest { digest: self.network.known_answer(), keyholder_epoch: 1 })
            }
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }

    async fn cases(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        let (case, request_id) = (given.case.clone(), id());
        let context = |right: &Why| given.why(right);
        match rpc {
            "Cases/ReferCase" => one(&v1::ReferCaseRequest {
                request_id,
                context: context(&AANMELDING),
                subject: subject(None),
                regime: regime(),
                holder: String::new(),
            }),
            "Cases/GetCase" => one(&v1::GetCaseRequest {
                context: context(&why("10", "aanmelding", v1::Role::R02)),
                name: case,
                subject: None,
                view: 0,
            }),
            "Cases/ListCases" => {
                one(&v1::ListCasesRequest { context: context(&FASE), ..v1::ListCasesRequest::default() })
            }
            "Cases/AssignRole" => one(&v1::AssignRoleRequest {
                request_id,
                context: context(&ROL),
                case,
                role: v1::Role::R07 as i32,
                partner: self.players.aanbieder.name(),
                external_kind: 0,
                directly_involved: false,
                end_time: None,
            }),
            "Cases/EndRole" => {
                let to = &self.players.aanbieder;
                let name = given.caller.assign(&case, v1::Role::R07, to).await.unwrap().message.name;
                one(&v1::EndRoleRequest { request_id, context: context(&ROL), name })
            }
            "Cases/HandOverCase" => {
                one(&v1::HandOverCaseRequest { request_id, context: context(&ROL), case, partner: self.gi.name() })
            }
            "Cases/AdvancePhase" => {
                let phase = v1::Phase::F2 as i32;
                one(&v1::AdvancePhaseRequest { request_id, context: context(&FASE), case, phase })
            }
            _ => self.states(rpc, given).await,
        }
    }

    async fn states(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        let (case, request_id) = (given.case.clone(), id());
        let context = |right: &Why| given.why(right);
        let escalation = why("29", "escalatie", v1::Role::R02);
        let rights = why("35", "rechten", v1::Role::R02);
        match rpc {
            "Cases/ChooseProvider" => {
                let provider = &self.players.aanbieder;
                given.caller.assign(&case, v1::Role::R09, provider).await.unwrap();
                let context = context(&why("21", "plaatsing", v1::Role::R02));
                one(&v1::ChooseProviderRequest { request_id, context, case, partner: provider.name() })
            }
            "Cases/RecordMeasure" => one(&v1::RecordMeasureRequest {
                request_id,
                context: context(&why("23", "bescherming", v1::Role::R02)),
                case,
                kind: v1::MeasureKind::Ots as i32,
                executing_partner: self.gi.name(),
                start_time: Some(prost_types::Timestamp { seconds: 1_780_000_000, nanos: 0 }),
                end_time: None,
            }),
            "Cases/UpdateConsentRegime" => {
                one(&v1::UpdateConsentRegimeRequest { request_id, context: context(&FASE), case, regime: regime() })
            }
            "Cases/RestrictCase" => one(&v1::RestrictCaseRequest {
                request_id,
                context: context(&rights),
                case,
                kind: v1::restrict_case_request::Kind::Objection as i32,
                lift: false,
            }),
            "Cases/StartEscalation" => {
                let partner = self.outsider.name();
                one(&v1::StartEscalationRequest { request_id, context: context(&escalation), case, partner })
            }
            "Cases/EndEscalation" => {
                let start = v1::StartEscalationRequest {
                    request_id: id(),
                    context: escalation.context(),
                    case: case.clone(),
                    partner: self.gi.name(),
                };
                given.caller.client().call::<_, v1::Case>("Cases/StartEscalation", &start).await.unwrap();
                one(&v1::EndEscalationRequest { request_id, context: context(&escalation), case })
            }
            "Cases/CloseCase" => one(&close(&case, context(&why("37", "beheer", v1::Role::R02)))),
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }

    async fn consents(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        let scope = (&["13"][..], &[v1::Category::C06][..], &[v1::Role::R05][..]);
        let context = given.why(&TOESTEMMING);
        match rpc {
            "Consents/RecordConsent" => {
                one(&v1::RecordConsentRequest { context, ..consent(&given.case, scope.0, scope.1, scope.2) })
            }
            "Consents/WithdrawConsent" => {
                let name = given.caller.consent(&given.case, scope.0, scope.1, scope.2).await.unwrap().message.name;
                one(&v1::WithdrawConsentRequest { request_id: id(), context, name })
            }
            "Consents/ListConsents" => one(&v1::ListConsentsRequest {
                context: given.why(&why("35", "rechten", v1::Role::R02)),
                case: given.case.clone(),
                ..v1::ListConsentsRequest::default()
            }),
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }

    async fn records(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        let draft = Draft {
            case: given.case.clone(),
            why: AANMELDING,
            category: v1::Category::C06,
            form: v1::Form::P,
            roles: vec![v1::Role::R03],
            content: b"hulpvraag".to_vec(),
        };
        match rpc {
            "Records/PlanRoute" => one(&v1::PlanRouteRequest {
                context: given.why(&AANMELDING),
                case: draft.case,
                category: draft.category as i32,
                form: draft.form as i32,
                recipient_roles: vec![v1::Role::R03 as i32],
                ..v1::PlanRouteRequest::default()
            }),
            "Records/PublishRecord" => {
                let mut sealed = given.caller.seal(&draft).await.unwrap();
                sealed.open.context = given.why(&AANMELDING);
                sealed.messages()
            }
            _ => self.readings(rpc, given, draft).await,
        }
    }

    /// The caller reads as R03 what the gemeente sent it in F1.
    async fn readings(&self, rpc: &str, given: &Given<'_>, draft: Draft) -> Vec<Vec<u8>> {
        let gemeente = &self.players.gemeente;
        let reading = why("10", "aanmelding", v1::Role::R03);
        match rpc {
            "Records/FetchRecord" | "Records/ListRecords" => {
                let own = gemeente.refer(None).await.unwrap().message.name;
                let record = gemeente.publish(&Draft { case: own.clone(), ..draft }).await.unwrap().message.record;
                if given.late {
                    gemeente.advance(&own, v1::Phase::F2).await.unwrap();
                }
                let case = self.database.case_name(&own, given.caller.oin()).await;
                let context = given.why(&reading);
                if rpc == "Records/FetchRecord" {
                    one(&v1::FetchRecordRequest { context, name: record.unwrap().name, case })
                } else {
                    let categories = vec![v1::Category::C06 as i32];
                    one(&v1::ListRecordsRequest { context, case, categories, ..v1::ListRecordsRequest::default() })
                }
            }
            "Records/RequestRecords" => {
                let own = gemeente.refer(None).await.unwrap().message.name;
                if given.late {
                    gemeente.advance(&own, v1::Phase::F2).await.unwrap();
                }
                one(&v1::RequestRecordsRequest {
                    request_id: id(),
                    context: given.why(&reading),
                    case: self.database.case_name(&own, given.caller.oin()).await,
                    categories: vec![v1::Category::C06 as i32],
                    form: v1::Form::P as i32,
                    sources: Vec::new(),
                })
            }
            "Records/StreamSealRequests" => one(&v1::StreamSealRequestsRequest {}),
            "Records/AddRecipient" => self.newcomer(given).await,
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }

    /// A second treating provider joins after who takes part was told to the first (article 12).
    async fn newcomer(&self, given: &Given<'_>) -> Vec<Vec<u8>> {
        let author = given.caller;
        let case = author.refer(None).await.unwrap().message.name;
        author.advance(&case, v1::Phase::F2).await.unwrap();
        author.assign(&case, v1::Role::R07, &self.players.aanbieder).await.unwrap();
        let draft = Draft::of_participants(&case);
        let record = author.publish(&draft).await.unwrap().message.record.unwrap().name;
        author.assign(&case, v1::Role::R07, &self.players.expert).await.unwrap();
        let asked = author.seal_request(&record).await;
        if given.late {
            self.pass(author, &case, v1::Phase::F8).await;
        }
        one(&author.add(&asked))
    }

    async fn inbox_and_audit(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        let context = given.why(&FASE);
        match rpc {
            "Inbox/StreamInbox" => one(&v1::StreamInboxRequest { context, cursor: String::new(), drain: true }),
            "Inbox/AcknowledgeInbox" => {
                self.players.gemeente.refer(None).await.unwrap();
                let cursor = self.players.gemeente.inbox("").await.unwrap().pop().unwrap().cursor;
                one(&v1::AcknowledgeInboxRequest { context, cursor })
            }
            "Audit/QueryEvents" => one(&v1::QueryEventsRequest {
                context: given.why(&why("36", "verantwoording", v1::Role::R14)),
                organisation: given.caller.name(),
                page_size: 1,
                ..v1::QueryEventsRequest::default()
            }),
            "Audit/ProveEvents" => one(&v1::ProveEventsRequest { events: vec![format!("events/{}", id())] }),
            "Audit/ReadEntries" => one(&v1::ReadEntriesRequest { tile: 0, width: 1 }),
            "Audit/EraseEvents" => one(&v1::EraseEventsRequest {
                request_id: id(),
                context: why("36", "verantwoording", v1::Role::R14)
                    .because("proef van het wissen van regels")
                    .context(),
                before: Some(prost_types::Timestamp { seconds: 946_684_800, nanos: 0 }),
                ..v1::EraseEventsRequest::default()
            }),
            "Audit/ReportRefusal" => one(&v1::ReportRefusalRequest {
                request_id: id(),
                context,
                case: String::new(),
                method: "sluis.v1.Records/PublishRecord".to_owned(),
                reason: "BSN_IN_TEXT".to_owned(),
                categories: Vec::new(),
            }),
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }

    async fn certificates(&self, rpc: &str, given: &Given<'_>) -> Vec<Vec<u8>> {
        match rpc {
            "Certificates/RenewCertificate" => one(&renewal(&given.caller.holder).1),
            "Certificates/ListCertificateRequests" => one(&v1::ListCertificateRequestsRequest {}),
            "Certificates/AnswerCertificateRequest" => {
                let (holder, request_id) = (self.network.succeeded(self.players.gemeente.oin().as_str()).await, id());
                let (_, request) = renewal(&holder);
                let asked = holder.client.call::<_, v1::CertificateRequest>("Certificates/RenewCertificate", &request);
                let name = asked.await.unwrap().message.name;
                let answer = Some(v1::answer_certificate_request_request::Answer::Refused("proef".to_owned()));
                one(&v1::AnswerCertificateRequestRequest { request_id, name, answer })
            }
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }

    async fn operators(&self, rpc: &str) -> Vec<Vec<u8>> {
        let request_id = id();
        match rpc {
            "Registry/RegisterPartner" => one(&v1::RegisterPartnerRequest {
                request_id,
                oin: "00000099100009990000".to_owned(),
                display_name: "Nieuwe gemeente".to_owned(),
                kind: v1::OrganisationKind::Gemeente as i32,
                ..v1::RegisterPartnerRequest::default()
            }),
            "Registry/RegisterCertificate" => {
                let holder = self.network.certificate(self.leaver.oin().as_str()).await;
                one(&v1::RegisterCertificateRequest {
                    request_id,
                    certificate: holder.chain[0].to_vec(),
                    holder: v1::HolderKind::Organisation as i32,
                    ..Default::default()
                })
            }
            "Registry/RevokeCertificate" => {
                let key_hash = self.leaver.holder.key_hash.clone();
                one(&v1::RevokeCertificateRequest { request_id, key_hash, ..Default::default() })
            }
            "Registry/RetireCertificate" => {
                let key_hash = self.network.succeeded(self.leaver.oin().as_str()).await.key_hash;
                self.network.succeeded(self.leaver.oin().as_str()).await;
                one(&v1::RetireCertificateRequest { request_id, key_hash, retire_time: None })
            }
            "Registry/ListCertificates" => one(&v1::ListCertificatesRequest::default()),
            "Registry/ListMandates" => one(&v1::ListMandatesRequest {}),
            "Registry/RegisterMandate" => {
                let mandate = Some(mandate(&self.gi.holder, SUPPLIER, 10));
                one(&v1::RegisterMandateRequest { request_id, mandate })
            }
            "Registry/EndMandate" => {
                let mandate = Some(mandate(&self.gi.holder, OTHER_SUPPLIER, 10));
                let asked = v1::RegisterMandateRequest { request_id: id(), mandate };
                let operator = &self.network.operator.client;
                let asked =
                    operator.call::<_, v1::RegisteredMandate>("Registry/RegisterMandate", &asked).await.unwrap();
                let v1::RegisteredMandate { name, pending, .. } = asked.message;
                let confirm = v1::ConfirmChangeRequest { request_id: id(), name: pending.unwrap().name };
                let second = &self.second_operator.client;
                let done = second.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &confirm);
                done.await.unwrap();
                one(&v1::EndMandateRequest { request_id, name, reason: "proef".to_owned() })
            }
            "Registry/ListPendingChanges" => one(&v1::ListPendingChangesRequest {}),
            "Registry/ConfirmChange" | "Registry/CancelChange" => {
                let status = v1::PartnerStatus::Suspended;
                let asked = ask_status(&self.second_operator.client, self.leaver.oin(), status).await.unwrap();
                let name = asked.message.pending.unwrap().name;
                if rpc == "Registry/CancelChange" {
                    one(&v1::CancelChangeRequest { request_id, name })
                } else {
                    one(&v1::ConfirmChangeRequest { request_id, name })
                }
            }
            "Registry/SetPartnerStatus" => one(&v1::SetPartnerStatusRequest {
                request_id,
                name: self.leaver.name(),
                status: v1::PartnerStatus::Suspended as i32,
                reason: "proef".to_owned(),
                effective_time: None,
            }),
            "Registry/SucceedPartner" => one(&v1::SucceedPartnerRequest {
                request_id,
                name: self.leaver.name(),
                successor: self.outsider.name(),
                effective_time: None,
                leave_time: None,
                reason: "proef".to_owned(),
            }),
            "Registry/ListSuccessions" => one(&v1::ListSuccessionsRequest::default()),
            "Registry/ReloadNode" => one(&v1::ReloadNodeRequest {}),
            "Registry/ListRefusals" => one(&v1::ListRefusalsRequest {}),
            "Simulation/AdvanceClock" => one(&v1::AdvanceClockRequest {
                request_id,
                by: Some(v1::advance_clock_request::By::Duration(prost_types::Duration { seconds: 1, nanos: 0 })),
            }),
            other => panic!("no request for {other}: a new RPC needs one"),
        }
    }
}

fn kind(rpc: &str) -> Kind {
    match rpc {
        "Audit/QueryEvents" | "Audit/ReadEntries" | "Audit/EraseEvents" => Kind::Officer,
        "Cases/RecordMeasure" => Kind::Gi,
        "Records/FetchRecord" | "Records/ListRecords" | "Records/RequestRecords" => Kind::Netwerk,
        "Certificates/RenewCertificate" => Kind::Gemeente,
        _ if rpc.starts_with("Certificates/") => Kind::Operator,
        _ if rpc.starts_with("Registry/") || rpc.starts_with("Simulation/") => Kind::Operator,
        _ => Kind::Gemeente,
    }
}

/// The phase that the good request needs.
fn needed_phase(rpc: &str) -> v1::Phase {
    match rpc {
        "Cases/ChooseProvider" | "Cases/EndEscalation" => v1::Phase::F5,
        "Cases/StartEscalation" => v1::Phase::F3,
        "Cases/CloseCase" => v1::Phase::F7,
        _ => v1::Phase::F1,
    }
}

/// A phase in which its article no longer applies; F8 where only closing ends it.
fn late_phase(rpc: &str) -> v1::Phase {
    match rpc {
        "Cases/ChooseProvider" => v1::Phase::F6,
        "Cases/StartEscalation" => v1::Phase::F7,
        "Cases/CloseCase" => v1::Phase::F6,
        "Records/PlanRoute" | "Records/PublishRecord" => v1::Phase::F2,
        _ => v1::Phase::F8,
    }
}

/// Whether the request names the role in which the caller acts, and the covenant looks at it.
fn acts_in_role(rpc: &str) -> bool {
    let elsewhere = ["Cases/ListCases", "Records/StreamSealRequests", "Records/AddRecipient"];
    let cases = ["Cases/", "Consents/", "Records/"].iter().any(|service| rpc.starts_with(service));
    (cases && !elsewhere.contains(&rpc)) || matches!(rpc, "Pseudonyms/ResolvePseudonym" | "Audit/QueryEvents")
}

fn needs_case(rpc: &str) -> bool {
    let (service, method) = rpc.split_once('/').unwrap();
    match service {
        "Cases" => !matches!(method, "ReferCase" | "ListCases"),
        "Consents" => true,
        "Records" => matches!(method, "PlanRoute" | "PublishRecord"),
        _ => rpc == "Covenants/ExplainDecision",
    }
}

fn close(case: &str, context: Option<v1::RequestContext>) -> v1::CloseCaseRequest {
    v1::CloseCaseRequest { request_id: id(), context, case: case.to_owned(), end_reason: "31".to_owned() }
}

fn one(message: &impl Message) -> Vec<Vec<u8>> {
    vec![message.encode_to_vec()]
}
