//! Certificates come and go without an interruption: announced, active from the first call, retiring once the successor is in
//! use, revoked. What cuts somebody off, or makes an operator, takes two operators.

use sluis::api::v1;
use sluis::api::v1::answer_certificate_request_request::Answer;
use sluis::api::v1::certificate_request::State as Asked;
use sluis::api::v1::confirm_change_response::Changed;
use sluis::ca::Profile;
use sluis::cli::init::AgentInitArgs;
use sluis::config::{AgentConfig, Source};
use sluis::tls::Identity;
use sluis::tls::files::pem_of;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::calls::{Client, fields, reason};
use crate::network::{GEMEENTE, Holder, NETWERK, Network, ask_status, forward, id, now, renewal};
use crate::tree::until;

use v1::CertificateState as State;
use v1::OrganisationKind::Gemeente;

pub(crate) async fn register(
    network: &Network,
    holder: &Holder,
    replaces: &str,
) -> Result<v1::RegisteredCertificate, tonic::Status> {
    let request = v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: holder.chain[0].to_vec(),
        holder: v1::HolderKind::Organisation as i32,
        system: "zaaksysteem".to_owned(),
        replaces: replaces.to_owned(),
        ..Default::default()
    };
    network.operator.client.call("Registry/RegisterCertificate", &request).await.map(|reply| reply.message)
}

pub(crate) async fn registered(network: &Network, oin: &str) -> Vec<v1::RegisteredCertificate> {
    let request = v1::ListCertificatesRequest { oin: oin.to_owned(), ..Default::default() };
    let list = network.operator.client.call::<_, v1::ListCertificatesResponse>("Registry/ListCertificates", &request);
    list.await.unwrap().message.certificates
}

pub(crate) async fn entry(network: &Network, key_hash: &str) -> v1::RegisteredCertificate {
    registered(network, "").await.into_iter().find(|known| known.key_hash == key_hash).unwrap()
}

pub(crate) async fn retire(network: &Network, key_hash: &str) -> Result<v1::RegisteredCertificate, tonic::Status> {
    let request = v1::RetireCertificateRequest { request_id: id(), key_hash: key_hash.to_owned(), retire_time: None };
    network.operator.client.call("Registry/RetireCertificate", &request).await.map(|reply| reply.message)
}

pub(crate) async fn calls(client: &Client) -> Result<(), tonic::Status> {
    let request = v1::ListPartnersRequest::default();
    client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_one_retires_only_after_the_new_one_was_used() {
    let network = Network::start().await;
    let old = network.partner(GEMEENTE, Gemeente).await.holder;
    assert_eq!(entry(&network, &old.key_hash).await.state(), State::Active);
    let status = retire(&network, &old.key_hash).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("register its successor"), "{}", status.message());

    let new = network.certificate(GEMEENTE).await;
    let known = register(&network, &new, &old.key_hash).await.unwrap();
    assert_eq!((known.state(), known.system.as_str()), (State::Announced, "zaaksysteem"));
    assert!(known.issuer.contains("Proefnetwerk"), "{}", known.issuer);
    let status = retire(&network, &old.key_hash).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "announced is not used");
    calls(&old.client).await.unwrap();

    let before = network.database().await.events().await;
    let (first, second) = tokio::join!(calls(&new.client), calls(&new.client));
    first.and(second).unwrap();
    assert_eq!(network.database().await.events().await - before, 3, "two calls, and that it is in use now");
    let used = entry(&network, &new.key_hash).await;
    assert_eq!((used.state(), used.set.is_empty(), used.use_time.is_some()), (State::Active, false, true));
    let retiring = entry(&network, &old.key_hash).await;
    assert_eq!(retiring.state(), State::Retiring);
    let left = retiring.retire_time.unwrap().seconds - used.use_time.unwrap().seconds;
    assert_eq!(left, 14 * 24 * 3600);
    calls(&old.client).await.unwrap();

    // Past its time the connection is cut, and calls are refused.
    forward(&network, left + 60).await;
    network.until_cut().await;
    let status = calls(&old.client).await.unwrap_err();
    let event = crate::calls::event_of(&status).unwrap();
    assert_eq!(network.database().await.event(&event).await.1, "CERT_REVOKED", "{status:?}");
    assert_eq!(entry(&network, &old.key_hash).await.state(), State::Retired);
    calls(&new.client).await.unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_the_holders_own_is_replaced_or_renewed() {
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let (new, other) = (network.certificate(GEMEENTE).await, network.certificate(NETWERK).await);
    let unknown = "0".repeat(64);
    for replaces in [unknown.as_str(), "x", &network.netwerk.holder.key_hash, &new.key_hash] {
        let status = register(&network, &new, replaces).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{replaces}");
    }
    register(&network, &new, &party.holder.key_hash).await.unwrap();
    // The same certificate again changes nothing but what it is used for.
    let again = register(&network, &party.holder, "").await.unwrap();
    assert_eq!((again.state(), again.system.as_str()), (State::Active, "zaaksysteem"));
    let request = v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: party.holder.chain[0].to_vec(),
        holder: v1::HolderKind::Officer as i32,
        person_ref: "fg".to_owned(),
        ..Default::default()
    };
    let call = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
    assert_eq!(call.await.unwrap_err().code(), Code::InvalidArgument, "a key does not change hands");
    register(&network, &other, "").await.unwrap();
    assert_eq!(registered(&network, GEMEENTE).await.len(), 2);
    // Pages hold everything once.
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListCertificatesRequest { page_size: 2, page_token, ..Default::default() };
        let call =
            network.operator.client.call::<_, v1::ListCertificatesResponse>("Registry/ListCertificates", &request);
        let page = call.await.unwrap().message;
        assert!(page.certificates.len() <= 2);
        found.extend(page.certificates.into_iter().map(|known| known.key_hash));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let all: Vec<String> = registered(&network, "").await.into_iter().map(|known| known.key_hash).collect();
    assert!(found == all && all.is_sorted() && all.len() == 6, "{found:?}");
}

pub(crate) async fn confirm(operator: &Client, name: &str) -> Result<Option<Changed>, tonic::Status> {
    let request = v1::ConfirmChangeRequest { request_id: id(), name: name.to_owned() };
    let reply = operator.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &request).await;
    reply.map(|reply| reply.message.changed)
}

pub(crate) async fn waiting(operator: &Client) -> Vec<v1::PendingChange> {
    let call = operator
        .call::<_, v1::ListPendingChangesResponse>("Registry/ListPendingChanges", &v1::ListPendingChangesRequest {});
    call.await.unwrap().message.changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cutting_off_a_partner_takes_two_operators() {
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let (first, second) = (&network.operator.client, network.second_operator().await);
    let asked = ask_status(first, party.oin(), v1::PartnerStatus::Suspended).await.unwrap().message;
    let change = asked.pending.clone().unwrap();
    assert_eq!(asked.status(), v1::PartnerStatus::Active, "nothing has changed yet");
    assert!(change.summary.contains("suspended: proef"), "{}", change.summary);
    calls(party.client()).await.unwrap();
    assert_eq!(waiting(&second.client).await, std::slice::from_ref(&change));
    let status = confirm(first, &change.name).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "not by the same person");
    let nobody = confirm(&second.client, &format!("changes/{}", id())).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);

    let Some(Changed::Partner(partner)) = confirm(&second.client, &change.name).await.unwrap() else { panic!() };
    assert_eq!(partner.status(), v1::PartnerStatus::Suspended);
    network.until_cut().await;
    let status = calls(party.client()).await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("PARTNER_SUSPENDED"));
    let again = confirm(&second.client, &change.name).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound, "once");
    assert!(waiting(first).await.is_empty());

    // The way back takes two as well; and what nobody confirms lapses.
    let back = ask_status(first, party.oin(), v1::PartnerStatus::Active).await.unwrap().message.pending.unwrap();
    forward(&network, 24 * 3600 + 1).await;
    assert_eq!(confirm(&second.client, &back.name).await.unwrap_err().code(), Code::NotFound);
    let back = ask_status(first, party.oin(), v1::PartnerStatus::Active).await.unwrap().message.pending.unwrap();
    let cancel = v1::CancelChangeRequest { request_id: id(), name: back.name.clone() };
    first.call::<_, v1::PendingChange>("Registry/CancelChange", &cancel).await.unwrap();
    assert_eq!(confirm(&second.client, &back.name).await.unwrap_err().code(), Code::NotFound);
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_operator_makes_a_second_self() {
    let network = Network::start().await;
    let second = network.second_operator().await;
    let third = network.person("operator-zelf").await;
    let request = v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: third.chain[0].to_vec(),
        holder: v1::HolderKind::Operator as i32,
        person_ref: "operator-zelf".to_owned(),
        ..Default::default()
    };
    // The certificate says who it is, and that it is somebody: nobody types another name.
    for (holder, person_ref, field) in [
        (v1::HolderKind::Operator, "iemand-anders", "person_ref"),
        (v1::HolderKind::Officer, "iemand-anders", "person_ref"),
        (v1::HolderKind::Organisation, "", "holder"),
    ] {
        let (holder, person_ref) = (holder as i32, person_ref.to_owned());
        let request = v1::RegisterCertificateRequest { request_id: id(), holder, person_ref, ..request.clone() };
        let client = &network.operator.client;
        let call = client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
        let status = call.await.map(drop).unwrap_err();
        let wrong = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((status.code(), wrong[0].field.as_str()), (Code::InvalidArgument, field), "{status:?}");
    }
    let call = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
    let change = call.await.unwrap().message.pending.unwrap();
    assert!(calls(&third.client).await.is_err(), "not registered yet");
    for kind in [v1::HolderKind::Issuer, v1::HolderKind::NetworkOfficer] {
        let request = v1::RegisterCertificateRequest { request_id: id(), holder: kind as i32, ..request.clone() };
        let client = &network.operator.client;
        let call = client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
        assert!(call.await.unwrap().message.pending.is_some(), "{kind:?}");
    }
    let (_, request_next) = renewal(&second);
    let call = second.client.call::<_, v1::CertificateRequest>("Certificates/RenewCertificate", &request_next);
    assert_eq!(call.await.unwrap_err().code(), Code::FailedPrecondition, "nor does one person renew what takes two");
    // Revoking the other one does not make the first one alone again.
    let revoke =
        v1::RevokeCertificateRequest { request_id: id(), key_hash: second.key_hash.clone(), ..Default::default() };
    network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RevokeCertificate", &revoke).await.unwrap();
    let again = v1::RegisterCertificateRequest { request_id: id(), ..request };
    let call = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &again);
    assert!(call.await.unwrap().message.pending.is_some());
    let status = confirm(&network.operator.client, &change.name).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(calls(&third.client).await.is_err());
}

/// A certificate for the key of a request, by the network's CA.
pub(crate) fn issued(network: &Network, request: &v1::CertificateRequest, oin: &str) -> Vec<Vec<u8>> {
    let file = network.path(&format!("{}.csr", request.key_hash));
    let block = pem::Pem::new("CERTIFICATE REQUEST", request.signing_request.clone());
    std::fs::write(&file, pem::encode(&block)).unwrap();
    let (name, oin) = ("Vernieuwd".parse().unwrap(), oin.parse().unwrap());
    network.sign_key(&request.key_hash, &file, &Profile::Organisation { name, oin, alternatives: vec![] })
}

pub(crate) async fn answer(
    network: &Network,
    name: &str,
    answer: Answer,
) -> Result<v1::CertificateRequest, tonic::Status> {
    let request = v1::AnswerCertificateRequestRequest { request_id: id(), name: name.to_owned(), answer: Some(answer) };
    let client = &network.operator.client;
    client.call("Certificates/AnswerCertificateRequest", &request).await.map(|reply| reply.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_with_the_current_one() {
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let (_, request) = renewal(&party.holder);
    let client = &party.holder.client;
    let ask = |request: v1::RenewCertificateRequest| async move {
        client.call::<_, v1::CertificateRequest>("Certificates/RenewCertificate", &request).await
    };
    // With the certificate that is shown only, and a request that its key signed.
    let other = v1::RenewCertificateRequest { certificate: network.officer.chain[0].to_vec(), ..request.clone() };
    assert_eq!(ask(other).await.unwrap_err().code(), Code::InvalidArgument);
    let mut forged = request.clone();
    *forged.signing_request.last_mut().unwrap() ^= 1;
    assert_eq!(ask(forged).await.unwrap_err().code(), Code::InvalidArgument);

    // Signed by its new key alone: whoever passes requests on could make that.
    let unproven = v1::RenewCertificateRequest { signature: Vec::new(), ..request.clone() };
    let mut other = renewal(&network.netwerk.holder).1;
    other.certificate.clone_from(&request.certificate);
    for forged in [unproven, other] {
        let status = ask(forged).await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["signature".to_owned()]));
    }

    let asked = ask(request.clone()).await.unwrap().message;
    assert_eq!((asked.state(), asked.replaces.as_str()), (Asked::Waiting, party.holder.key_hash.as_str()));
    assert_eq!(ask(request.clone()).await.unwrap().message, asked, "the same however often");
    let list = v1::ListCertificateRequestsRequest {};
    let list = network
        .operator
        .client
        .call::<_, v1::ListCertificateRequestsResponse>("Certificates/ListCertificateRequests", &list);
    assert_eq!(list.await.unwrap().message.requests, std::slice::from_ref(&asked));

    // What is refused is told.
    let (_, again) = renewal(&party.holder);
    let refused = ask(again.clone()).await.unwrap().message;
    answer(&network, &refused.name, Answer::Refused("niet meer nodig".to_owned())).await.unwrap();
    let told = ask(again).await.unwrap().message;
    assert_eq!((told.state(), told.refusal.as_str()), (Asked::Refused, "niet meer nodig"));
    // One at a time with one certificate: the later one counts, and whoever asked for the earlier one is told.
    let told = ask(request).await.unwrap().message;
    assert!(told.state() == Asked::Refused && told.refusal.contains("later"), "{told:?}");
    let (_, request) = renewal(&party.holder);
    let asked = ask(request.clone()).await.unwrap().message;
    // Nothing but a certificate for that key and that organisation, under an anchor of the hub's.
    let chain = |certificates| Answer::Issued(v1::CertificateChain { certificates });
    let own: Vec<Vec<u8>> = party.holder.chain.iter().map(|der| der.to_vec()).collect();
    let elsewhere = issued(&network, &v1::CertificateRequest { key_hash: "elders".into(), ..asked.clone() }, NETWERK);
    let unknown = network.stranger(GEMEENTE).await.chain.iter().map(|der| der.to_vec()).collect();
    for wrong in [own, elsewhere, unknown, vec![]] {
        let status = answer(&network, &asked.name, chain(wrong)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let good = issued(&network, &asked, GEMEENTE);
    let done = answer(&network, &asked.name, chain(good.clone())).await.unwrap();
    assert_eq!((done.state(), &done.chain), (Asked::Issued, &good));
    assert_eq!(answer(&network, &asked.name, chain(good.clone())).await.unwrap_err().code(), Code::NotFound, "once");
    assert_eq!(ask(request).await.unwrap().message.chain, good);
    let known = entry(&network, &asked.key_hash).await;
    assert_eq!((known.state(), known.replaces), (State::Announced, party.holder.key_hash.clone()));

    // One successor: a key that got out does not become many.
    let (_, again) = renewal(&party.holder);
    assert_eq!(ask(again).await.unwrap_err().code(), Code::FailedPrecondition);
    network.holds_together().await;
}

fn agent(network: &Network, holder: &Holder) -> AgentConfig {
    agent_at(network, "agent", holder, &[network.address()], 0)
}

/// An agent's directory with this certificate, and its configuration: it looks every second, and everything is due.
pub(crate) fn agent_at(network: &Network, name: &str, holder: &Holder, hub: &[&str], port: u16) -> AgentConfig {
    let directory = network.path(name);
    let oin = &holder.oin;
    let args = AgentInitArgs {
        dir: directory.clone(),
        oin: oin.to_string(),
        name: "Gemeente".to_owned(),
        alternatives: vec!["127.0.0.1".to_owned()],
        passphrase_file: None,
    };
    sluis::cli::init::agent(&args, now(), &mut Vec::new()).unwrap();
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", holder.key.secret_der()));
    std::fs::write(directory.join("own.pem"), pem_of(&holder.chain)).unwrap();
    sluis::whole_file::replace(&directory.join("own.key"), key.as_bytes()).unwrap();
    std::fs::copy(network.path("ca/anchors.pem"), directory.join("anchors.pem")).unwrap();
    let keyholder = network.keyholder_address();
    let text = format!(
        r#"
organisation = {{ oin = "{oin}" }}
hub = {{ address = {hub:?}, server_name = "127.0.0.1" }}
keyholder = {{ address = "{keyholder}", server_name = "127.0.0.1", public_key = "{}" }}
tls = {{ certificate = "own.pem", key = "own.key", anchors = "anchors.pem" }}
local = {{ address = "127.0.0.1:{port}", certificate = "local/server.pem", key = "local/server.key", anchors = "local/anchors.pem" }}
trust = {{ environment = "test" }}
store = {{ directory = "store" }}
renewal = {{ days = 1000, pause_seconds = 1 }}
"#,
        network.keyholder_key()
    );
    sluis::config::parse(&directory.join("agent.toml"), &text).unwrap()
}

/// `sluis ca serve` of the network's own CA, for what waits now.
pub(crate) fn serve(network: &Network) -> String {
    serve_by(network, "ca", &[])
}

/// `sluis ca serve`, for what waits now.
pub(crate) fn serve_by(network: &Network, folder: &str, more: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluis"));
    command.args(["ca", "serve", "--once", "--dir", network.path(folder).to_str().unwrap()]).args(more);
    let output = command.args(network.remote("operator")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_renews_its_certificate_by_itself() {
    let network = Network::start().await;
    network.register_partner(GEMEENTE, Gemeente, &[]).await;
    let old = network.half_over(GEMEENTE).await;
    network.register_certificate(&old, v1::HolderKind::Organisation, "").await;
    let keyholder = network.run_keyholder(&[&old]).await;
    let config = agent(&network, &old);
    let (chain, key) = (config.tls.certificate.clone(), config.tls.key.clone());
    let store = config.store.directory.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(sluis::agent::run(Source::still(config.clone()), async move {
        let _ = stopped.await;
    }));
    let said = until(|| async { Some(serve(&network)).filter(|said| said.contains("issued")) }).await;
    assert!(said.contains(GEMEENTE), "{said}");
    // It is put in place, used, and the old one retires.
    until(|| async { (entry(&network, &old.key_hash).await.state() == State::Retiring).then_some(()) }).await;
    let new = registered(&network, GEMEENTE).await.into_iter().find(|known| known.replaces == old.key_hash).unwrap();
    assert_eq!(new.state(), State::Active);
    let identity = Identity::load(&chain, &key, now()).unwrap();
    let leaf = sluis::identity::certificate::Leaf::read(identity.leaf().unwrap()).unwrap();
    assert_eq!(leaf.key_hash.to_string(), new.key_hash);
    assert!(!store.join("renewal.pem").exists(), "what was placed lies nowhere else");
    let _ = stop.send(());
    running.await.unwrap().unwrap();
    keyholder.stop().await;
    network.holds_together().await;
}

/// Between the two files the power went: the next start finishes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_half_done_is_finished() {
    let network = Network::start().await;
    let old = network.registered(GEMEENTE, Gemeente).await.holder;
    let new = network.certificate(GEMEENTE).await;
    let config = agent(&network, &old);
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", new.key.secret_der()));
    for path in [config.store.directory.join("renewal.key"), config.tls.key.clone()] {
        sluis::whole_file::replace(&path, key.as_bytes()).unwrap();
    }
    std::fs::write(config.store.directory.join("renewal.pem"), pem_of(&new.chain)).unwrap();
    assert!(
        Identity::load(&config.tls.certificate, &config.tls.key, now()).is_err(),
        "the new key, the old certificate"
    );
    let ended = sluis::agent::run(Source::still(config.clone()), std::future::ready(())).await;
    ended.unwrap();
    Identity::load(&config.tls.certificate, &config.tls.key, now()).unwrap();
    assert!(!config.store.directory.join("renewal.pem").exists());
}
