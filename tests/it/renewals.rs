//! What becomes of keys that were renewed, of requests that can't be answered, and of changes whose asker is gone.

use sluis::api::v1;
use sluis::api::v1::answer_certificate_request_request::Answer;
use sluis::api::v1::certificate_request::State as Asked;
use sluis::api::v1::confirm_change_response::Changed;
use sluis::seal::certificate_signature::{Domain, sign};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::calls::{Client, event_of, fields, reason};
use crate::certificates::{answer, calls, confirm, entry, issued, register, retire, serve, waiting};
use crate::network::{ANDERE_GEMEENTE, GEMEENTE, Holder, Network, Party, ask_status, id, now, renewal};

use v1::CertificateState as State;
use v1::OrganisationKind::Gemeente;

async fn ask(holder: &Holder, request: &v1::RenewCertificateRequest) -> Result<v1::CertificateRequest, Status> {
    holder.client.call("Certificates/RenewCertificate", request).await.map(|reply| reply.message)
}

/// The holder's next certificate, asked for with the current one and issued.
async fn renewed(network: &Network, holder: &Holder) -> Holder {
    let (pair, request) = renewal(holder);
    let asked = ask(holder, &request).await.unwrap();
    let chain = issued(network, &asked, holder.oin.as_str());
    let given = Answer::Issued(v1::CertificateChain { certificates: chain.clone() });
    answer(network, &asked.name, given).await.unwrap();
    network.holder_of(&pair, &chain).await
}

async fn revoke(operator: &Client, key_hash: &str) -> Result<v1::RegisteredCertificate, Status> {
    let request =
        v1::RevokeCertificateRequest { request_id: id(), key_hash: key_hash.to_owned(), ..Default::default() };
    operator.call("Registry/RevokeCertificate", &request).await.map(|reply| reply.message)
}

/// `sluis registry …` as the first operator: what it prints.
fn registry(network: &Network, args: &[&str]) -> String {
    let (done, said) = tried(network, args);
    assert!(done, "{said}");
    said
}

/// The same: whether it was done, and what was said of it.
fn tried(network: &Network, args: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluis"));
    let output = command.arg("registry").args(network.remote("operator")).args(args).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_gets_wrong_is_named() {
    let network = Network::start().await;
    let unknown = "ab".repeat(32);
    let (key, operator) = (network.path("ca/operator.key"), network.path("ca/operator.pem"));
    let (key, operator) = (key.to_str().unwrap(), operator.to_str().unwrap());
    let change = format!("changes/{}", id());
    for (args, wanted) in [
        (&["certificate", key][..], "a private key, which is for nobody but its holder"),
        (&["certificate", "/nowhere.pem"], "/nowhere.pem: not a PEM certificate"),
        (&["revoke", "00ff"], "00ff: neither a key hash (64 hexadecimal digits) nor a file"),
        (&["revoke", key], "a private key"),
        (&["revoke", &unknown], &format!("revoking the key {unknown} was refused: NotFound")),
        (&["retire", &unknown], &format!("retiring the key {unknown} was refused: NotFound")),
        (&["confirm", &change], &format!("confirming {change} was refused: NotFound")),
        (&["cancel", &change], &format!("taking {change} back was refused: NotFound")),
        (
            &["status", "--oin", GEMEENTE, "--set", "suspended", "--reason", "proef"],
            &format!("of {GEMEENTE} was refused"),
        ),
        // Nobody revokes itself: the file was understood.
        (&["revoke", operator], "was refused: FailedPrecondition"),
    ] {
        let (done, said) = tried(&network, args);
        assert!(!done && said.contains(wanted), "{args:?}: {said}");
    }
}

/// Whoever held a key unseen may have renewed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_renewed_with_a_key_is_revoked_with_it() {
    let network = Network::start().await;
    let first = network.partner(GEMEENTE, Gemeente).await.holder;
    let second = renewed(&network, &first).await;
    calls(&second.client).await.unwrap();
    let third = renewed(&network, &second).await;
    calls(&third.client).await.unwrap();
    // One that an operator entered in the first one's place, and one of nobody's.
    let by_hand = network.certificate(GEMEENTE).await;
    register(&network, &by_hand, &first.key_hash).await.unwrap();
    let beside = network.partner(ANDERE_GEMEENTE, Gemeente).await.holder;
    let (_, request) = renewal(&third);
    ask(&third, &request).await.unwrap();

    // One that is needed no more goes alone.
    let file = network.path("first.pem");
    std::fs::write(&file, pem::encode(&pem::Pem::new("CERTIFICATE", first.chain[0].to_vec()))).unwrap();
    let said = registry(&network, &["revoke", file.to_str().unwrap(), "--reason", "cessation-of-operation"]);
    assert!(!said.contains("too"), "{said}");
    network.until_cut().await;
    calls(&first.client).await.unwrap_err();
    calls(&third.client).await.unwrap();

    let said = registry(&network, &["revoke", &first.key_hash]);
    let too = |key: &str| said.contains(&format!("key {key} of {GEMEENTE} revoked too"));
    assert!(said.contains(&format!("key {} of {GEMEENTE} revoked\n", first.key_hash)), "{said}");
    assert!(too(&second.key_hash) && too(&third.key_hash) && !said.contains(&by_hand.key_hash), "{said}");
    network.until_cut().await;
    for gone in [&first, &second, &third] {
        let event = event_of(&calls(&gone.client).await.unwrap_err()).unwrap();
        assert_eq!(network.database().await.event(&event).await.1, "CERT_REVOKED");
        assert_eq!(entry(&network, &gone.key_hash).await.state(), State::Revoked);
    }
    calls(&by_hand.client).await.unwrap();
    calls(&beside.client).await.unwrap();
    let list = v1::ListCertificateRequestsRequest {};
    let list = network
        .operator
        .client
        .call::<_, v1::ListCertificateRequestsResponse>("Certificates/ListCertificateRequests", &list);
    assert!(list.await.unwrap().message.requests.is_empty(), "what a revoked key asked for is answered");
    let named = "SELECT COUNT(*) FROM audit_event WHERE method = 'sluis.v1.Registry/RevokeCertificate' \
                 AND motivation LIKE 'revoked: key %; and renewed with it: key %, key %'";
    assert_eq!(network.database().await.number(named).await, 1);
    let again = revoke(&network.operator.client, &first.key_hash).await.unwrap();
    assert!(again.revoked && again.revoked_with_it.is_empty(), "once");
    network.holds_together().await;
}

/// The holder would put it in the place of its good one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_since_is_not_handed_out() {
    let network = Network::start().await;
    let holder = network.partner(GEMEENTE, Gemeente).await.holder;
    calls(&holder.client).await.unwrap();
    for is_revoked in [true, false] {
        let (_, request) = renewal(&holder);
        let asked = ask(&holder, &request).await.unwrap();
        let chain = issued(&network, &asked, holder.oin.as_str());
        answer(&network, &asked.name, Answer::Issued(v1::CertificateChain { certificates: chain })).await.unwrap();
        assert_eq!(ask(&holder, &request).await.unwrap().state(), Asked::Issued);
        let another = ask(&holder, &renewal(&holder).1).await.unwrap_err();
        assert!(another.message().contains("successor already"), "{another:?}");
        if is_revoked {
            revoke(&network.operator.client, &asked.key_hash).await.unwrap();
        } else {
            retire(&network, &asked.key_hash).await.unwrap();
        }
        let told = ask(&holder, &request).await.unwrap();
        assert_eq!((told.name, told.state, told.chain.len()), (asked.name, Asked::Refused as i32, 0));
        assert!(told.refusal.contains("another key"), "{}", told.refusal);
    }
    // It may ask anew, and be answered.
    renewed(&network, &holder).await;
    network.holds_together().await;
}

/// No operator cuts off itself by revoking what its own key was renewed from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_does_not_revoke_itself() {
    let network = Network::start().await;
    let next = renewed_operator(&network).await;
    calls(&next.client).await.unwrap();
    let status = revoke(&next.client, &network.operator.key_hash).await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("another operator"), "{status:?}");
    calls(&next.client).await.unwrap();
}

async fn renewed_operator(network: &Network) -> Holder {
    let (pair, request) = renewal(&network.operator);
    let asked = ask(&network.operator, &request).await.unwrap();
    assert!(serve(network).contains("issued"));
    let done = ask(&network.operator, &request).await.unwrap();
    assert_eq!((done.name, done.state), (asked.name, Asked::Issued as i32));
    network.holder_of(&pair, &done.chain).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_fills_the_list_of_requests() {
    let network = Network::start().await;
    let holder = network.partner(GEMEENTE, Gemeente).await.holder;
    let too_many = |status: Status, hours: bool| {
        let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!((status.code(), reason(&status).as_deref()), (Code::ResourceExhausted, Some("RATE_LIMITED")));
        assert_eq!(wait.as_secs() >= 3600, hours, "{status:?}");
    };
    // With one certificate: six in a day, one of which waits.
    for _ in 0..6 {
        ask(&holder, &renewal(&holder).1).await.unwrap();
    }
    too_many(ask(&holder, &renewal(&holder).1).await.unwrap_err(), true);
    // With the certificates of one organisation: eight that wait.
    let mut last = None;
    for nth in 1..=8 {
        let next = network.succeeded(GEMEENTE).await;
        let asked = ask(&next, &renewal(&next).1).await;
        assert_eq!(asked.is_ok(), nth < 8, "{nth}");
        last = asked.err();
    }
    too_many(last.unwrap(), false);
    // Others ask as before.
    let other = network.partner(ANDERE_GEMEENTE, Gemeente).await.holder;
    ask(&other, &renewal(&other).1).await.unwrap();
    crate::network::forward(&network, 24 * 3600 + 1).await;
    ask(&holder, &renewal(&holder).1).await.unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_an_rsa_key_is_refused() {
    let network = Network::start().await;
    let holder = network.partner(GEMEENTE, Gemeente).await.holder;
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=rsa"]);
    let signing_request = openssl.args(["-outform", "DER"]).output().unwrap().stdout;
    let proof = sign(&holder.key, Domain::Renewal, &signing_request).unwrap();
    let (signature_scheme, signature) = (proof.scheme.code().into(), proof.signature);
    let certificate = holder.chain[0].to_vec();
    let request = v1::RenewCertificateRequest { signing_request, certificate, signature_scheme, signature };
    let status = ask(&holder, &request).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["signing_request".to_owned()]));
    let said = status.get_error_details().bad_request().unwrap().field_violations[0].description.clone();
    assert!(said.contains("P-384") && said.contains("not RSA"), "{said}");
}

/// What can't be answered as asked has an end, and holds up nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_with_an_answer() {
    let network = Network::start().await;
    let holder = network.partner(GEMEENTE, Gemeente).await.holder;
    let (_, request) = renewal(&holder);
    let asked = ask(&holder, &request).await.unwrap();
    // The first in the list can't be made: a file lies where its certificate would, and none is ever overwritten.
    std::fs::write(network.path(&format!("ca/renewed-{}.pem", asked.key_hash.get(..32).unwrap())), "of another time")
        .unwrap();
    let other = network.partner(ANDERE_GEMEENTE, Gemeente).await.holder;
    let (_, second) = renewal(&other);
    ask(&other, &second).await.unwrap();
    let said = serve(&network);
    assert!(said.contains("refused") && said.contains("issued"), "{said}");
    let told = ask(&holder, &request).await.unwrap();
    assert!(told.state() == Asked::Refused && told.refusal.contains("another key"), "{told:?}");
    assert_eq!(ask(&other, &second).await.unwrap().state(), Asked::Issued);

    // A partner that is suspended hears, when it is back, what became of it.
    let (_, request) = renewal(&holder);
    ask(&holder, &request).await.unwrap();
    network.set_status(&holder.oin, v1::PartnerStatus::Suspended).await;
    assert!(!serve(&network).contains(GEMEENTE), "nothing waits");
    network.set_status(&holder.oin, v1::PartnerStatus::Active).await;
    let told = ask(&holder, &request).await.unwrap();
    assert!(told.state() == Asked::Refused && told.refusal.contains("does not take part"), "{told:?}");
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_to_retire_is_used_all_the_same() {
    let network = Network::start().await;
    let old = network.partner(GEMEENTE, Gemeente).await.holder;
    let new = network.certificate(GEMEENTE).await;
    register(&network, &new, &old.key_hash).await.unwrap();
    let in_a_month = sluis::wire::timestamp(now() + time::Duration::days(30));
    let request = v1::RetireCertificateRequest {
        request_id: id(),
        key_hash: new.key_hash.clone(),
        retire_time: Some(in_a_month),
    };
    let call = network.operator.client.call::<_, v1::RegisteredCertificate>("Registry/RetireCertificate", &request);
    assert_eq!(call.await.unwrap().message.state(), State::Retiring);
    calls(&new.client).await.unwrap();
    let used = entry(&network, &new.key_hash).await;
    assert!(used.use_time.is_some() && !used.set.is_empty() && used.state() == State::Retiring, "{used:?}");
    assert_eq!(entry(&network, &old.key_hash).await.state(), State::Retiring, "its successor is in use");
    let before = network.database().await.events().await;
    calls(&new.client).await.unwrap();
    assert_eq!(network.database().await.events().await - before, 1, "once");
    assert_eq!(retire(&network, &"0".repeat(64)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_revoked_operator_asked_for_is_not_confirmed() {
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let second = network.second_operator().await;
    let asked = ask_status(&network.operator.client, party.oin(), v1::PartnerStatus::Suspended).await.unwrap().message;
    let change = asked.pending.unwrap();
    assert!(waiting(&second.client).await[0].obstacle.is_empty());
    revoke(&second.client, &network.operator.key_hash).await.unwrap();
    let status = confirm(&second.client, &change.name).await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("revoked since"), "{status:?}");
    let listed = waiting(&second.client).await;
    assert!(listed.len() == 1 && listed[0].obstacle.contains("only be taken back"), "{listed:?}");
    let cancel = v1::CancelChangeRequest { request_id: id(), name: change.name };
    second.client.call::<_, v1::PendingChange>("Registry/CancelChange", &cancel).await.unwrap();
    assert!(waiting(&second.client).await.is_empty());
    calls(party.client()).await.unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_before_another_change_of_the_same_is_not_confirmed() {
    use v1::PartnerStatus::{Active, Suspended};
    let network = Network::start().await;
    let party = network.partner(GEMEENTE, Gemeente).await;
    let other = network.partner(ANDERE_GEMEENTE, Gemeente).await;
    let (first, second) = (&network.operator.client, network.second_operator().await);
    let asked =
        async |status, who: &Party| ask_status(first, who.oin(), status).await.unwrap().message.pending.unwrap().name;
    let becomes = async |status| confirm(&second.client, &asked(status, &party).await).await.unwrap();
    becomes(Suspended).await;
    // Asked for, and overtaken: it is suspended again, for another reason, and stands as it stood.
    let old = asked(Active, &party).await;
    let of_other = asked(Suspended, &other).await;
    becomes(Active).await;
    becomes(Suspended).await;
    let status = confirm(&second.client, &old).await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("changed since"), "{status:?}");
    let listed = waiting(&second.client).await;
    let obstacle = |name: &str| listed.iter().find(|it| it.name == name).unwrap().obstacle.clone();
    assert!(obstacle(&old).contains("ask anew") && obstacle(&of_other).is_empty(), "{listed:?}");
    calls(party.client()).await.unwrap_err();
    confirm(&second.client, &of_other).await.unwrap();
    becomes(Active).await;
    calls(party.client()).await.unwrap();
    network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_holds_up_its_holders_next() {
    let network = Network::start().await;
    let (first, second) = (&network.operator.client, network.second_operator().await);
    let (lost, next) = (network.person("carla").await, network.second_of("carla").await);
    let asked = async |holder: &Holder, person: &str| {
        let request = v1::RegisterCertificateRequest {
            request_id: id(),
            certificate: holder.chain[0].to_vec(),
            holder: v1::HolderKind::Operator as i32,
            person_ref: person.to_owned(),
            ..Default::default()
        };
        let call = first.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
        call.await.unwrap().message.pending.unwrap().name
    };
    // Two keys at once are two keys.
    let (one, two) = (asked(&lost, "carla").await, asked(&next, "carla").await);
    confirm(&second.client, &one).await.unwrap();
    revoke(&second.client, &lost.key_hash).await.unwrap();
    let status = confirm(&second.client, &two).await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("changed since"), "{status:?}");
    // Whoever sees that it was revoked may ask anew.
    let anew = asked(&next, "carla").await;
    confirm(&second.client, &anew).await.unwrap();
}

async fn register_partner(operator: &Client, name: &str, roles: &[v1::Role]) -> v1::Partner {
    let request = v1::RegisterPartnerRequest {
        request_id: id(),
        oin: GEMEENTE.to_owned(),
        display_name: name.to_owned(),
        kind: Gemeente as i32,
        standing_roles: roles.iter().map(|role| *role as i32).collect(),
        effective_time: None,
    };
    operator.call::<_, v1::Partner>("Registry/RegisterPartner", &request).await.unwrap().message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_role_takes_two_operators() {
    use v1::Role::{R11, R13};
    let network = Network::start().await;
    let first = &network.operator.client;
    let second = network.second_operator().await;
    // Of a partner that is new, nothing is there before it is confirmed.
    let asked = register_partner(first, "Gemeente", &[R11]).await;
    let change = asked.pending.clone().unwrap();
    assert!(asked.display_name.is_empty() && change.summary.contains("standing roles R11"), "{asked:?}");
    let get = v1::GetPartnerRequest { name: asked.name.clone() };
    let found = first.call::<_, v1::Partner>("Directory/GetPartner", &get).await;
    assert_eq!(found.unwrap_err().code(), Code::NotFound);
    assert_eq!(confirm(first, &change.name).await.unwrap_err().code(), Code::FailedPrecondition, "nobody's alone");
    let Some(Changed::Partner(made)) = confirm(&second.client, &change.name).await.unwrap() else { panic!() };
    assert_eq!((made.display_name.as_str(), made.standing_roles), ("Gemeente", vec![R11 as i32]));
    // Another role, and the new name with it; not a new name alone, nor a role less.
    for (name, roles, takes_two) in
        [("Nieuw", &[R11][..], false), ("Nieuwer", &[R11, R13][..], true), ("Zonder", &[][..], false)]
    {
        let asked = register_partner(first, name, roles).await;
        assert_eq!((asked.pending.is_some(), asked.display_name == name), (takes_two, !takes_two), "{name}");
    }
    let request = v1::GetPartnerRequest { name: asked.name };
    let now = first.call::<_, v1::Partner>("Directory/GetPartner", &request).await.unwrap().message;
    assert_eq!((now.display_name.as_str(), now.standing_roles.len()), ("Zonder", 0));
    network.holds_together().await;
}

/// Whoever confirms a certificate sees that another key ends by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_operator_sees_what_is_replaced() {
    let network = Network::start().await;
    let second = network.second_operator().await;
    let known = entry(&network, &network.operator.key_hash).await;
    let new = network.second_of(&known.person_ref).await;
    let request = |replaces: &str| v1::RegisterCertificateRequest {
        request_id: id(),
        certificate: new.chain[0].to_vec(),
        holder: v1::HolderKind::Operator as i32,
        person_ref: known.person_ref.clone(),
        replaces: replaces.to_owned(),
        ..Default::default()
    };
    for (replaces, is_named) in [("", false), (known.key_hash.as_str(), true)] {
        let request = request(replaces);
        let call = second.client.call::<_, v1::RegisteredCertificate>("Registry/RegisterCertificate", &request);
        let summary = call.await.unwrap().message.pending.unwrap().summary;
        assert_eq!(summary.contains(&format!("it replaces key {}", known.key_hash)), is_named, "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ca_keeps_its_revocation_list_fresh() {
    let network = Network::start().await;
    let (ca, list) = (network.path("ca"), network.path("published.crl"));
    let sluis = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sluis")).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (dir, file) = (ca.to_str().unwrap(), list.to_str().unwrap());
    let remote = network.remote("operator");
    let mut serve = vec!["ca", "serve", "--once", "--dir", dir, "--crl", file];
    serve.extend(remote.iter().map(String::as_str));
    let revoked = || sluis::trust::List::read(&std::fs::read(&list).unwrap()).unwrap().revoked;
    let said = sluis(&serve);
    assert!(said.contains("list 1  0 revoked") && revoked() == 0, "{said}");
    assert!(!sluis(&serve).contains("list"), "it is fresh");
    sluis(&["ca", "revoke", ca.join("netwerk.pem").to_str().unwrap(), "--reason", "superseded", "--dir", dir]);
    let said = sluis(&serve);
    assert!(said.contains("list 2  1 revoked") && revoked() == 1, "{said}");
}
