//! Suppliers that act in a partner's name: by its own mandate, with a key for each customer, seen in every event, and cut at once.

use std::time::Duration;

use rand_core::OsRng;
use sluis::api::v1;
use sluis::api::v1::OrganisationKind::{Aanbieder, Gemeente};
use sluis::mandate;
use sluis::seal::{AgentKeys, Mandate};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::calls::{Reply, reason};
use crate::direct::{AANMELDING, Draft, Players, why};
use crate::network::{ANDERE_GEMEENTE, Holder, Network, Party, forward, id, now, publish_keys, renewal};
use crate::streams::Live;

mod at_once;

pub(crate) const SUPPLIER: &str = "00000099900000010000";
pub(crate) const OTHER_SUPPLIER: &str = "00000099900000020000";
const COVENANT: &str = "ret-overijssel";
/// A customer with an office certificate, and no agent.
const CUSTOMER: &str = "00000099100001460000";

/// A mandate of a partner to a supplier for so many days, signed with the partner's certificate.
pub(crate) fn mandate(principal: &Holder, to: &str, days: i64) -> v1::Mandate {
    signed_by(principal, principal.oin.as_str(), to, days)
}

/// The same in somebody's name, signed by whom it pleases.
fn signed_by(signer: &Holder, principal: &str, to: &str, days: i64) -> v1::Mandate {
    in_network(COVENANT, signer, principal, to, days)
}

/// The same in another network.
fn in_network(covenant: &str, signer: &Holder, principal: &str, to: &str, days: i64) -> v1::Mandate {
    let (starts, ends) = (now() - time::Duration::SECOND, now() + time::Duration::days(days));
    let both = (principal.parse().unwrap(), to.parse().unwrap());
    let mandate = Mandate::new(Uuid::new_v4(), covenant, both, (starts, ends)).unwrap();
    let chain = signer.chain.iter().map(|der| der.to_vec()).collect();
    mandate::message(mandate.sign(&signer.key).unwrap(), chain)
}

async fn register(network: &Network, mandate: &v1::Mandate) -> Result<v1::RegisteredMandate, Status> {
    let request = v1::RegisterMandateRequest { request_id: id(), mandate: Some(mandate.clone()) };
    let done = network.operator.client.call("Registry/RegisterMandate", &request).await;
    done.map(|reply: Reply<v1::RegisteredMandate>| reply.message)
}

async fn register_key(
    network: &Network,
    holder: &Holder,
    on_behalf_of: &str,
    replaces: &str,
) -> Result<v1::RegisteredCertificate, Status> {
    let request = v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: holder.chain[0].to_vec(),
        holder: v1::HolderKind::Organisation as i32,
        replaces: replaces.to_owned(),
        acts_on_behalf_of: on_behalf_of.to_owned(),
        ..Default::default()
    };
    let done = network.operator.client.call("Registry/RegisterCertificate", &request).await;
    done.map(|reply: Reply<v1::RegisteredCertificate>| reply.message)
}

async fn end(network: &Network, name: &str) -> Result<v1::RegisteredMandate, Status> {
    let request =
        v1::EndMandateRequest { request_id: id(), name: name.to_owned(), reason: "contract ended".to_owned() };
    let done = network.operator.client.call("Registry/EndMandate", &request).await;
    done.map(|reply: Reply<v1::RegisteredMandate>| reply.message)
}

/// A supplier's part for one customer: called by the customer's number, connected with the supplier's certificate.
pub(crate) async fn delegated(network: &Network, principal: &Holder, supplier: &str) -> Party {
    // So long that the hub has nothing to say of its end.
    register(network, &mandate(principal, supplier, 300)).await.unwrap();
    supplied(network, principal, supplier).await
}

/// The same under a mandate that is registered.
async fn supplied(network: &Network, principal: &Holder, supplier: &str) -> Party {
    let holder = network.certificate(supplier).await;
    let known = register_key(network, &holder, principal.oin.as_str(), "").await.unwrap();
    assert_eq!((known.oin.as_str(), known.via.as_str()), (principal.oin.as_str(), supplier));
    let holder = Holder { oin: principal.oin.clone(), ..holder };
    Party { holder, keys: AgentKeys::generate(&mut OsRng).unwrap() }
}

/// A customer that has signed the covenant itself, and its supplier, which has published the customer's keys.
async fn customer(network: &Network) -> (Party, Party, v1::RegisteredMandate) {
    let own = network.registered(CUSTOMER, Gemeente).await;
    network.sign(&own).await;
    let given = mandate(&own.holder, SUPPLIER, 10);
    let known = register(network, &given).await.unwrap();
    let supplier = supplied(network, &own.holder, SUPPLIER).await;
    publish(&supplier, Some(given)).await.unwrap();
    (own, supplier, known)
}

async fn publish(party: &Party, mandate: Option<v1::Mandate>) -> Result<Reply<v1::PublishKeysResponse>, Status> {
    let mut request = publish_keys(party);
    request.keys.as_mut().unwrap().mandate = mandate;
    party.client().call("Directory/PublishKeys", &request).await
}

fn hulpvraag(case: &str) -> Draft {
    Draft {
        case: case.to_owned(),
        why: AANMELDING,
        category: v1::Category::C06,
        form: v1::Form::P,
        roles: vec![v1::Role::R03],
        content: b"De jeugdige wil thuis blijven wonen.".to_vec(),
    }
}

fn refused_with(status: &Status) -> (Code, Option<String>) {
    (status.code(), reason(status))
}

async fn partners(party: &Party) -> Result<Reply<v1::ListPartnersResponse>, Status> {
    party.client().call("Directory/ListPartners", &v1::ListPartnersRequest::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplier_carries_its_customers_exchange_and_every_event_says_so() {
    let network = Network::start().await;
    let (own, supplier, _) = customer(&network).await;
    let case = supplier.refer(None).await.unwrap().message.name;
    let record = supplier.publish(&hulpvraag(&case)).await.unwrap().message.record.unwrap().name;
    // The other side opens it with the keys that the supplier published in the customer's name.
    let database = network.database().await;
    let theirs = database.case_name(&case, network.netwerk.oin()).await;
    let reading = why("10", "aanmelding", v1::Role::R03);
    let fetched = network.netwerk.fetch(&record, &theirs, &reading).await.unwrap();
    assert_eq!(fetched.content, hulpvraag(&case).content);
    // What is sent to the customer arrives at its supplier.
    let items = supplier.inbox("").await.unwrap();
    assert!(!items.is_empty());
    // The customer itself sees the same case with its own certificate, and its own calls name no supplier.
    let looked = v1::GetCaseRequest {
        context: why("10", "aanmelding", v1::Role::R02).context(),
        name: case.clone(),
        ..Default::default()
    };
    let looked = own.client().call::<_, v1::Case>("Cases/GetCase", &looked).await.unwrap();
    let of_customer = format!(
        "SELECT COUNT(*) FROM audit_event WHERE req_oin = '{CUSTOMER}' AND key_hash = '{}' AND via",
        supplier.holder.key_hash
    );
    let counted = |condition: &str| database.any_number(format!("{of_customer} {condition}"));
    assert!(counted(&format!("= '{SUPPLIER}'")).await > 4);
    assert_eq!(counted(&format!("<> '{SUPPLIER}'")).await, 0);
    let by_itself =
        format!("SELECT COUNT(*) FROM audit_event WHERE via <> '' AND key_hash = '{}'", own.holder.key_hash);
    assert_eq!(database.any_number(by_itself).await, 0);
    // The customer's officer finds them as its own, in full.
    let officer = network.officer_of(CUSTOMER, "fg-klant").await;
    let query = v1::QueryEventsRequest {
        context: why("36", "verantwoording", v1::Role::R14).context(),
        via: SUPPLIER.to_owned(),
        ..Default::default()
    };
    let found = officer.client.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &query).await.unwrap().message;
    assert!(found.events.iter().any(|event| event.method.ends_with("PublishRecord") && !event.user_ref.is_empty()));
    let name = format!("partners/{CUSTOMER}");
    // Its own, and the one of the first call with the key, which nobody asked for.
    let is_own = |event: &v1::Event| event.organisation == name || event.organisation.is_empty();
    assert!(found.events.iter().all(|event| event.via == SUPPLIER && is_own(event)));
    assert!(found.events.iter().all(|event| event.name != looked.event));
    let nobody = v1::QueryEventsRequest { via: OTHER_SUPPLIER.to_owned(), ..query };
    let found = officer.client.call::<_, v1::QueryEventsResponse>("Audit/QueryEvents", &nobody).await.unwrap().message;
    assert!(found.events.is_empty());
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_reaches_one_customer_and_a_key_that_nobody_registered_reaches_none() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let (_, supplier, known) = customer(&network).await;
    // Another key of the same supplier, and the supplier's key for another customer.
    let unknown = network.certificate(SUPPLIER).await;
    let status = unknown.client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &FASE_LIST).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let other = delegated(&network, &players.gemeente.holder, SUPPLIER).await;
    let case = other.refer(None).await.unwrap().message.name;
    let look = v1::GetCaseRequest {
        context: why("10", "aanmelding", v1::Role::R02).context(),
        name: case.clone(),
        ..Default::default()
    };
    other.client().call::<_, v1::Case>("Cases/GetCase", &look).await.unwrap();
    let status = supplier.client().call::<_, v1::Case>("Cases/GetCase", &look).await.unwrap_err();
    assert_eq!(refused_with(&status), (Code::PermissionDenied, Some("REFUSED".to_owned())));
    // The refusal names both.
    let database = network.database().await;
    let refusals = format!(
        "SELECT COUNT(*) FROM audit_event WHERE req_oin = '{CUSTOMER}' AND via = '{SUPPLIER}' AND reason = 'NOT_INVOLVED'"
    );
    assert_eq!(database.any_number(refusals).await, 1);
    // The partner's own hand.
    let signature = network.signature(&supplier).await;
    let status = supplier.client().call::<_, v1::CovenantSignature>("Covenants/SignCovenant", &signature);
    assert_eq!(reason(&status.await.unwrap_err()).as_deref(), Some("ROLE_NOT_ALLOWED"));
    // Connection tests say in whose name.
    let seen =
        supplier.client().call::<_, v1::TestConnectionResponse>("Connection/TestConnection", &TEST).await.unwrap();
    assert_eq!(seen.message.acts_on_behalf_of, CUSTOMER);
    assert_eq!(seen.message.certificate.unwrap().oin, SUPPLIER);
    let own = players.gemeente.client().call::<_, v1::TestConnectionResponse>("Connection/TestConnection", &TEST).await;
    assert_eq!(own.unwrap().message.acts_on_behalf_of, "");
    // Suspending one customer leaves the other.
    network.set_status(players.gemeente.oin(), v1::PartnerStatus::Suspended).await;
    network.until_cut().await;
    let status = partners(&other).await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_SUSPENDED"));
    partners(&supplier).await.unwrap();
    assert!(known.in_force && known.key_hashes.is_empty(), "as it was registered");
    network.holds_together().await;
}

/// What is asked of nobody in particular.
const FASE_LIST: v1::ListPartnersRequest = v1::ListPartnersRequest { page_size: 0, page_token: String::new() };
const TEST: v1::TestConnectionRequest =
    v1::TestConnectionRequest { client_time: None, known_answer: Vec::new(), canonical_input: Vec::new() };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_the_customer_gives_a_mandate_and_nothing_counts_without_one() {
    let network = Network::start().await;
    let players = Players::join(&network).await;
    let own = network.registered(CUSTOMER, Gemeente).await;
    let supplier = network.certificate(SUPPLIER).await;
    let employee = network.officer_of(CUSTOMER, "fg-klant").await;
    let not_registered = network.certificate(CUSTOMER).await;
    let stranger = network.stranger(CUSTOMER).await;
    let long = mandate(&own.holder, SUPPLIER, 1000);
    let good = mandate(&own.holder, SUPPLIER, 10);
    let altered = v1::Mandate { document: long.document.clone(), ..good.clone() };
    for (what, wrong, said) in [
        ("made up by an operator", signed_by(&network.operator, CUSTOMER, SUPPLIER, 10), "accepted here"),
        ("by the supplier", signed_by(&supplier, CUSTOMER, SUPPLIER, 10), "the partner's own certificate"),
        ("by another partner", signed_by(&players.gemeente.holder, CUSTOMER, SUPPLIER, 10), "own certificate"),
        ("by an employee", signed_by(&employee, CUSTOMER, SUPPLIER, 10), "accepted here"),
        ("by a key that nobody registered", signed_by(&not_registered, CUSTOMER, SUPPLIER, 10), "registered for"),
        ("under another authority", signed_by(&stranger, CUSTOMER, SUPPLIER, 10), "accepted here"),
        ("for longer than its certificate", long, "for no longer than the certificate"),
        ("altered", altered, "not changed since"),
        ("for another network", in_network("ret-proef", &own.holder, CUSTOMER, SUPPLIER, 10), "of this covenant"),
        ("of nobody here", signed_by(&own.holder, OTHER_SUPPLIER, SUPPLIER, 10), "a registered partner"),
        ("nothing", v1::Mandate::default(), "sluis mandate sign"),
    ] {
        let status = register(&network, &wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        let details = status.get_details_bad_request().unwrap().field_violations;
        assert!(details.iter().any(|field| field.description.contains(said)), "{what}: {details:?}");
    }
    // No key without a mandate; none for a person; none in one's own name.
    let status = register_key(&network, &supplier, CUSTOMER, "").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    register(&network, &good).await.unwrap();
    assert_eq!(register(&network, &good).await.unwrap_err().code(), Code::InvalidArgument, "once");
    let person = v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: supplier.chain[0].to_vec(),
        holder: v1::HolderKind::Officer as i32,
        person_ref: "fg-leverancier".to_owned(),
        acts_on_behalf_of: CUSTOMER.to_owned(),
        ..Default::default()
    };
    let status = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &person);
    assert_eq!(status.await.unwrap_err().code(), Code::InvalidArgument);
    for wrong in [SUPPLIER, "12", ANDERE_GEMEENTE] {
        assert!(register_key(&network, &supplier, wrong, "").await.is_err(), "{wrong}");
    }
    // Keys in the customer's name: with the mandate that is registered, and no other.
    let party = supplied(&network, &own.holder, SUPPLIER).await;
    let newer = mandate(&own.holder, SUPPLIER, 11);
    let elsewhere = mandate(&own.holder, OTHER_SUPPLIER, 10);
    for wrong in [None, Some(newer.clone()), Some(elsewhere)] {
        assert_eq!(publish(&party, wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    publish(&party, Some(good)).await.unwrap();
    // A newer mandate takes its place, and the key goes on.
    let renewed = register(&network, &newer).await.unwrap();
    assert_eq!(renewed.key_hashes, std::slice::from_ref(&party.holder.key_hash));
    partners(&party).await.unwrap();
    publish(&party, Some(newer)).await.unwrap();
    let all = network
        .operator
        .client
        .call::<_, v1::ListMandatesResponse>("Registry/ListMandates", &v1::ListMandatesRequest {});
    let all = all.await.unwrap().message.mandates;
    assert_eq!(all.iter().map(|one| one.in_force).collect::<Vec<_>>(), [false, true]);
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_mandate_cuts_at_once_and_leaves_the_customer_itself() {
    let network = Network::start().await;
    let (own, supplier, known) = customer(&network).await;
    let live = Live::open(&supplier, "").await;
    let own_live = Live::open(&own, "").await;
    let ended = end(&network, &known.name).await.unwrap();
    assert!(!ended.in_force && ended.cut_time.is_some());
    let (status, after) = live.end().await;
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert!(matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::Unavailable), "{status:?}");
    // A connection that is made while the others are cut may go with them.
    network.until_cut().await;
    let again = network.calling_itself(&supplier.holder, "sluis").await;
    let status = again.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &FASE_LIST).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    let database = network.database().await;
    let refusals = format!(
        "SELECT COUNT(*) FROM audit_event WHERE req_oin = '{CUSTOMER}' AND via = '{SUPPLIER}' AND reason = 'CERT_REVOKED'"
    );
    assert!(database.any_number(refusals).await > 0, "the refusal names both too");
    // The customer goes on, and what the supplier published in its name is nobody's any more.
    partners(&own).await.unwrap();
    drop(own_live);
    let shown = v1::GetPartnerRequest { name: own.name() };
    let shown = own.client().call::<_, v1::Partner>("Directory/GetPartner", &shown).await.unwrap().message;
    assert_eq!(shown.keys, None);
    assert_eq!(end(&network, &known.name).await.unwrap_err().code(), Code::FailedPrecondition, "once");
    assert_eq!(end(&network, &format!("mandates/{}", Uuid::new_v4())).await.unwrap_err().code(), Code::NotFound);
    // A later mandate brings no old key back.
    register(&network, &mandate(&own.holder, SUPPLIER, 10)).await.unwrap();
    assert!(partners(&supplier).await.is_err());
    let next = supplied(&network, &own.holder, SUPPLIER).await;
    partners(&next).await.unwrap();
    network.holds_together().await;
}

/// Its time, the key that signed it, and the supplier's own standing as a partner each end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mandate_ends_with_its_time_with_its_signer_and_with_the_supplier() {
    let network = Network::start().await;
    let (own, supplier, _) = customer(&network).await;
    let live = Live::open(&supplier, "").await;
    forward(&network, 10 * 86_400 + 5).await;
    let (_, after) = live.end().await;
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert!(partners(&supplier).await.is_err());
    partners(&own).await.unwrap();
    // The customer signs anew, and the same key goes on.
    let later = (now() + time::Duration::days(9), now() + time::Duration::days(40));
    let anew = Mandate::new(Uuid::new_v4(), COVENANT, (own.oin().clone(), SUPPLIER.parse().unwrap()), later).unwrap();
    let chain = own.holder.chain.iter().map(|der| der.to_vec()).collect();
    register(&network, &mandate::message(anew.sign(&own.holder.key).unwrap(), chain)).await.unwrap();
    partners(&supplier).await.unwrap();

    // The supplier becomes a partner itself, and is suspended.
    network.register_partner(SUPPLIER, Aanbieder, &[]).await;
    partners(&supplier).await.unwrap();
    network.set_status(&SUPPLIER.parse().unwrap(), v1::PartnerStatus::Suspended).await;
    network.until_cut().await;
    assert_eq!(reason(&partners(&supplier).await.unwrap_err()).as_deref(), Some("PARTNER_SUSPENDED"));
    network.set_status(&SUPPLIER.parse().unwrap(), v1::PartnerStatus::Active).await;
    partners(&supplier).await.unwrap();

    // The customer's key that signed was stolen: what it gave is nobody's.
    network.succeeded(CUSTOMER).await;
    let revoke =
        v1::RevokeCertificateRequest { request_id: id(), key_hash: own.holder.key_hash.clone(), ..Default::default() };
    let done = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RevokeCertificate", &revoke);
    done.await.unwrap();
    network.until_cut().await;
    assert!(partners(&supplier).await.is_err());
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mandate_takes_two_operators_and_its_end_takes_one() {
    let network = Network::start().await;
    let own = network.registered(CUSTOMER, Gemeente).await;
    let second = network.second_operator().await;
    let asked = register(&network, &mandate(&own.holder, SUPPLIER, 10)).await.unwrap();
    assert!(!asked.in_force && asked.key_hashes.is_empty());
    let change = asked.pending.unwrap();
    assert!(change.summary.contains(SUPPLIER) && change.summary.contains(CUSTOMER), "{}", change.summary);
    let supplier = network.certificate(SUPPLIER).await;
    assert_eq!(register_key(&network, &supplier, CUSTOMER, "").await.unwrap_err().code(), Code::FailedPrecondition);
    let confirm = v1::ConfirmChangeRequest { request_id: id(), name: change.name };
    let confirmed =
        second.client.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &confirm).await.unwrap();
    let Some(v1::confirm_change_response::Changed::Mandate(known)) = confirmed.message.changed else {
        panic!("no mandate")
    };
    assert_eq!((known.principal.as_str(), known.delegate.as_str()), (CUSTOMER, SUPPLIER));
    register_key(&network, &supplier, CUSTOMER, "").await.unwrap();
    end(&network, &known.name).await.unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suppliers_key_is_renewed_in_the_same_name() {
    let network = Network::start().await;
    let (_, supplier, _) = customer(&network).await;
    let (pair, request) = renewal(&supplier.holder);
    let asked = supplier.client().call::<_, v1::CertificateRequest>("Certificates/RenewCertificate", &request);
    let asked = asked.await.unwrap().message;
    let answer = async |oin: &str| {
        let chain = v1::CertificateChain { certificates: issued(&network, &asked, oin) };
        let answer = v1::AnswerCertificateRequestRequest {
            request_id: id(),
            name: asked.name.clone(),
            answer: Some(v1::answer_certificate_request_request::Answer::Issued(chain)),
        };
        let operator = &network.operator.client;
        operator.call::<_, v1::CertificateRequest>("Certificates/AnswerCertificateRequest", &answer).await
    };
    assert_eq!(answer(CUSTOMER).await.unwrap_err().code(), Code::InvalidArgument, "the supplier's it stays");
    answer(SUPPLIER).await.unwrap();
    let list = v1::ListCertificatesRequest { oin: CUSTOMER.to_owned(), ..Default::default() };
    let all = network.operator.client.call::<_, v1::ListCertificatesResponse>("Registry/ListCertificates", &list).await;
    let next = all.unwrap().message.certificates.into_iter().find(|one| one.replaces == supplier.holder.key_hash);
    let next = next.unwrap();
    assert_eq!((next.oin.as_str(), next.via.as_str(), next.key_hash), (CUSTOMER, SUPPLIER, asked.key_hash.clone()));
    drop(pair);
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_under_a_mandate_is_refused_with_its_end_and_the_event_names_the_keys() {
    let network = Network::start().await;
    let (own, supplier, known) = customer(&network).await;
    let (_, request) = renewal(&supplier.holder);
    let asked = supplier.client().call::<_, v1::CertificateRequest>("Certificates/RenewCertificate", &request);
    let asked = asked.await.unwrap().message;
    end(&network, &known.name).await.unwrap();
    let chain = v1::CertificateChain { certificates: issued(&network, &asked, SUPPLIER) };
    let answer = v1::AnswerCertificateRequestRequest {
        request_id: id(),
        name: asked.name,
        answer: Some(v1::answer_certificate_request_request::Answer::Issued(chain)),
    };
    let operator = &network.operator.client;
    let late = operator.call::<_, v1::CertificateRequest>("Certificates/AnswerCertificateRequest", &answer).await;
    assert!(late.is_err(), "it waits no longer");
    let database = network.database().await;
    let (key, mandate) = (&supplier.holder.key_hash, known.name.trim_start_matches("mandates/"));
    let waiting = "SELECT COUNT(*) FROM certificate_request WHERE answered_at IS NULL";
    assert_eq!(database.any_number(waiting.to_owned()).await, 0);
    let named = format!(
        "SELECT COUNT(*) FROM audit_event WHERE method LIKE '%EndMandate' AND motivation LIKE '%{mandate} to {SUPPLIER}%{key}%'"
    );
    assert_eq!(database.any_number(named).await, 1);
    let first = format!("SELECT COUNT(*) FROM audit_event WHERE motivation LIKE 'first call%' AND via = '{SUPPLIER}'");
    assert_eq!(database.any_number(first).await, 1, "the hub's own event names the supplier");

    // The customer's key that signed another one.
    let next = register(&network, &mandate_to(&own.holder)).await.unwrap();
    network.succeeded(CUSTOMER).await;
    let revoke =
        v1::RevokeCertificateRequest { request_id: id(), key_hash: own.holder.key_hash.clone(), ..Default::default() };
    let done = operator.call::<_, v1::RegisteredCertificate>("Registry/RevokeCertificate", &revoke).await.unwrap();
    assert_eq!(done.message.withheld_mandates, std::slice::from_ref(&next.name));
    let named = format!("SELECT COUNT(*) FROM audit_event WHERE motivation LIKE '%withheld%{}'", next.name);
    assert_eq!(database.any_number(named).await, 1);
    network.holds_together().await;
}

fn mandate_to(principal: &Holder) -> v1::Mandate {
    mandate(principal, SUPPLIER, 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_nobody_is_shown_any_more_are_followed_by_the_next_epoch() {
    let network = Network::start().await;
    let (own, _, known) = customer(&network).await;
    end(&network, &known.name).await.unwrap();
    // Peers that saw the first epoch refuse other keys under it.
    let status = publish(&own, None).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(format!("{:?}", status.get_error_details()).contains("the next epoch: 2"), "{status:?}");
    for (epoch, good) in [(3, false), (2, true)] {
        let epoch = sluis::pseudonym::Epoch::new(epoch).unwrap();
        let set = own.keys.key_set(own.oin().clone(), epoch, now()).unwrap();
        let request = crate::network::publish_set(&own, &set);
        let done = own.client().call::<_, v1::PublishKeysResponse>("Directory/PublishKeys", &request).await;
        assert_eq!(done.is_ok(), good, "{epoch:?}");
    }
}

/// What the CA issues for a request, in somebody's name.
fn issued(network: &Network, asked: &v1::CertificateRequest, oin: &str) -> Vec<Vec<u8>> {
    let name = format!("renewed-{}", Uuid::new_v4());
    let file = network.path(&format!("{name}.csr"));
    let text = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", asked.signing_request.clone()));
    std::fs::write(&file, text).unwrap();
    let (label, oin, alternatives) = ("Leverancier".parse().unwrap(), oin.parse().unwrap(), vec![]);
    network.sign_key(&name, &file, &sluis::ca::Profile::Organisation { name: label, oin, alternatives })
}
