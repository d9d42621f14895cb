//! Certificates that are not believed, one row each, at a gate as a hub has it: two sets of anchors, both with revocation lists.
//! What the peer hears (RFC 8446 §6.2), what is counted, what the operator reads, and that nobody else notices.

use super::malformed::{Good, counted, heard, showing};
use super::*;
use crate::trust::Contents;
use crate::trust::tests::chains::{Case, Hierarchy, dns, made_by_openssl, oin};
use crate::trust::tests::{self as made, authority, good_leaf, has_openssl, leaf, list};

/// Descriptions of alerts (RFC 8446 §6).
const BAD_CERTIFICATE: Alert = Some(42);
const UNSUPPORTED_CERTIFICATE: Alert = Some(43);
const CERTIFICATE_REVOKED: Alert = Some(44);
const CERTIFICATE_EXPIRED: Alert = Some(45);
const CERTIFICATE_UNKNOWN: Alert = Some(46);
const UNKNOWN_CA: Alert = Some(48);
const ACCESS_DENIED: Alert = Some(49);
/// Hung up on without a word.
const NONE: Alert = None;

type Alert = Option<u8>;

/// The holder, as most of the certificates here say it.
const HOLDER: &str = "C=NL, CN=Gemeente Almelo, serialNumber=00000099100001410000";
/// The same of those that OpenSSL makes.
const OF_OPENSSL: &str = "C=NL, CN=Almelo, serialNumber=00000099100001410000";
const WITH_TWO: &str = "C=NL, CN=Almelo, serialNumber=00000099100001410000, serialNumber=00000099100001770000";

/// What an operator reads in the list of refusals: the set, whose certificate it is, and what the refusal is about.
type Listed = Option<(Option<&'static str>, &'static str, String)>;

/// A bad chain, what its client hears, why the gate counts it, and what stands in the list.
struct Row(Case, Alert, Failure, Listed);

/// In the set of the chain's root, about this.
fn pki(about: &str) -> Listed {
    by(Some("pki"), HOLDER, about)
}

fn by(set: Option<&'static str>, whose: &'static str, about: &str) -> Listed {
    Some((set, whose, about.to_owned()))
}

fn row(case: Case, heard: Alert, fault: Fault, listed: Listed) -> Row {
    Row(case, heard, fault.into(), listed)
}

fn leaves(h: &Hierarchy) -> Vec<Row> {
    let no_oin = |p: &mut CertificateParams| p.distinguished_name = made::name("Gemeente Almelo");
    vec![
        row(
            h.leaf("expired", |p| p.not_after = NOW - DAY / 2),
            CERTIFICATE_EXPIRED,
            Fault::Expired,
            pki("Gemeente Almelo until 2026-06-01 0:00:00.0 +00:00:00"),
        ),
        row(
            h.leaf("not yet valid", |p| p.not_before = NOW + DAY / 2),
            CERTIFICATE_EXPIRED,
            Fault::NotYetValid,
            pki("Gemeente Almelo from 2026-06-02 0:00:00.0 +00:00:00"),
        ),
        row(
            h.leaf("for servers", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            UNSUPPORTED_CERTIFICATE,
            Fault::Purpose,
            pki(""),
        ),
        row(
            h.leaf("no OIN", no_oin),
            CERTIFICATE_UNKNOWN,
            Fault::NoOin,
            by(Some("pki"), "C=NL, CN=Gemeente Almelo", ""),
        ),
        // The other set would take it.
        row(
            h.leaf("OIN of another pattern", |p| oin(p, "00000011123456780000")),
            ACCESS_DENIED,
            Fault::OinPattern,
            by(Some("pki"), "C=NL, CN=Gemeente Almelo, serialNumber=00000011123456780000", "00000011123456780000"),
        ),
        row(
            h.case("signed by itself", {
                good_leaf().self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
            }),
            UNKNOWN_CA,
            Fault::UnknownIssuer,
            by(None, HOLDER, "Gemeente Almelo"),
        ),
    ]
}

fn issuers(h: &Hierarchy) -> Vec<Row> {
    let named = |p: &mut CertificateParams| p.subject_alt_names = vec![dns("agent.almelo.example")];
    let only = |p: &mut CertificateParams| {
        p.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("zwolle.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    };
    let last = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let stranger = authority("Vreemde CA", None, |_| {});
    let other = authority("Sluis issuing CA", None, |p| {
        p.distinguished_name.push(DnType::OrganizationalUnitName, "production");
    });
    vec![
        row(
            Hierarchy::with(|_| {}, only)
                .leaf("a name that its issuer may not issue for", named)
                .with(|case| case.profile.names.dns = trust::Presence::Allowed),
            BAD_CERTIFICATE,
            Fault::NameConstraint,
            pki(""),
        ),
        row(Hierarchy::with(last, |_| {}).leaf("path too long", |_| {}), BAD_CERTIFICATE, Fault::PathLength, pki("")),
        row(
            h.leaf("an issuer is missing", |_| {}).with(|case| drop(case.chain.remove(1))),
            UNKNOWN_CA,
            Fault::UnknownIssuer,
            by(None, HOLDER, "Private TSP"),
        ),
        row(
            h.case("unknown issuer", leaf(&stranger, |_| {})),
            UNKNOWN_CA,
            Fault::UnknownIssuer,
            by(None, HOLDER, "Vreemde CA"),
        ),
        row(
            h.case("of the other environment", leaf(&other, |_| {})),
            UNKNOWN_CA,
            Fault::OtherEnvironment,
            by(None, HOLDER, "Sluis issuing CA"),
        ),
    ]
}

fn lists(h: &Hierarchy) -> Vec<Row> {
    let forged = Hierarchy::new();
    vec![
        row(
            h.leaf("revoked", |_| {}).with(|case| case.lists[2] = list(&h.tsp, NOW - DAY, &[9])),
            CERTIFICATE_REVOKED,
            Fault::Revoked,
            pki("Gemeente Almelo"),
        ),
        row(
            h.leaf("its issuer is revoked", |_| {}).with(|case| case.lists[1] = list(&h.domain, NOW - DAY, &[3])),
            CERTIFICATE_REVOKED,
            Fault::Revoked,
            pki("Private TSP"),
        ),
        // What is wrong with a list is not the holder's to know: to the peer it is an authority that is not believed.
        row(
            h.leaf("the list has somebody else's signature", |_| {})
                .with(|case| case.lists[2] = list(&forged.tsp, NOW - DAY, &[])),
            UNKNOWN_CA,
            Fault::ListInvalid,
            pki(""),
        ),
        row(
            h.leaf("a byte of the list's signature is another", |_| {})
                .with(|case| *case.lists[2].last_mut().unwrap() ^= 1),
            UNKNOWN_CA,
            Fault::ListInvalid,
            pki(""),
        ),
        row(
            h.leaf("the list is past its next update", |_| {})
                .with(|case| case.lists[2] = list(&h.tsp, NOW - DAY * 11, &[])),
            UNKNOWN_CA,
            Fault::ListStale,
            pki("Private TSP until 2026-05-31 12:00:00.0 +00:00:00"),
        ),
    ]
}

fn too_much(h: &Hierarchy) -> Vec<Row> {
    let hundred = h.hundred_certificates();
    let bytes: usize = hundred.chain.iter().map(|der| der.len()).sum();
    let about = format!("100 certificates, {bytes} bytes");
    vec![
        row(hundred, BAD_CERTIFICATE, Fault::TooLarge, by(None, HOLDER, &about)),
        // The library takes no message over 64 KiB and has no alert for it. Nobody has read whose it is: it is counted, and not
        // listed (README, "Whoever is refused").
        Row(h.mebibyte(), NONE, Failure::Protocol, None),
    ]
}

/// What OpenSSL makes and rcgen does not.
fn of_openssl(h: &Hierarchy) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let ec = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let subject = format!("/C=NL/CN=Almelo/serialNumber={ALMELO}");
    let two = format!("{subject}/serialNumber={RAALTE}");
    let case = |name, key: &str, subject: &str, sign: &str| {
        h.case(name, made_by_openssl(folder.path(), &h.tsp, key, subject, sign))
            .with(|case| h.by_the_clock_of_openssl(case))
    };
    let small = "-algorithm RSA -pkeyopt rsa_keygen_bits:1024";
    vec![
        row(
            case("SHA-1", ec, &subject, "-sha1"),
            UNSUPPORTED_CERTIFICATE,
            Fault::SignatureAlgorithm,
            by(Some("pki"), OF_OPENSSL, "Almelo: ecdsa-sha1"),
        ),
        row(
            case("RSA of 1024 bits", small, &subject, "-sha256"),
            UNSUPPORTED_CERTIFICATE,
            Fault::Key,
            by(Some("pki"), OF_OPENSSL, "Almelo: RSA 1024"),
        ),
        row(
            case("two OINs", ec, &two, "-sha256"),
            CERTIFICATE_UNKNOWN,
            Fault::SeveralOins,
            by(Some("pki"), WITH_TWO, "00000099100001410000, 00000099100001770000"),
        ),
    ]
}

/// A gate that trusts the row's set and the own authority's, at the row's moment.
async fn gate(ca: &Ca, case: &Case) -> Server {
    let mut own = Profile::built_in("sluis-ca-lists").unwrap();
    own.policies.clear();
    let Revocation::Lists(lists) = ca.crl(case.at - DAY / 2, &[]) else { panic!("a list") };
    let own = Set::new("own-ca", own, &[ca.0.der().clone()], lists, Environment::Test).unwrap();
    let trust = Arc::new(Trust::new(Environment::Test, vec![case.set(), own]));
    let clock = StillClock::new();
    clock.0.store(case.at.unix_timestamp().unsigned_abs(), Ordering::Relaxed);
    Server::start(ServerTls::new(&ca.issue(RAALTE, |_| {}), trust, clock).unwrap(), Limits::default()).await
}

/// A line of the list of refusals: why, how often, by which set, about what, and whose.
fn line(failure: Failure, count: u64, set: Option<&str>, about: &str, whose: [&str; 4]) -> String {
    format!("{} {count} {set:?} ({about}) {whose:?}", failure.code())
}

fn listed(server: &Server) -> Vec<String> {
    let of = |one: &Refusal| {
        let whose = [&one.subject, &one.issuer, &one.serial, &one.key_hash].map(String::as_str);
        line(one.failure, one.count, one.set.as_deref(), &one.about, whose)
    };
    server.gate.refusals().list().iter().map(of).collect()
}

#[tokio::test]
async fn a_bad_certificate_is_told_counted_and_listed_and_nobody_else_notices() {
    let (ca, h) = (Ca::new(), Hierarchy::new());
    let key: PrivateKeyDer<'static> = PrivatePkcs8KeyDer::from(KeyPair::generate().unwrap().serialize_der()).into();
    let mut table = [leaves(&h), issuers(&h), lists(&h), too_much(&h)].into_iter().flatten().collect::<Vec<_>>();
    if has_openssl() {
        table.extend(of_openssl(&h));
    }
    let mut wrong = Vec::new();
    for Row(case, alert, failure, entry) in table {
        let name = case.name;
        let server = gate(&ca, &case).await;
        let good = ca.issue(ALMELO, |p| (p.not_before, p.not_after) = (case.at - DAY, case.at + DAY));
        let mut inside = Good::enter_with(&server, &ca, &good).await;
        let heard = heard(&server, showing(&ca, case.chain.clone(), &key), name).await;
        let counted = counted(&server).await;
        if heard != alert || counted != [(failure.code(), 1)] {
            wrong.push(format!("{name}: heard {heard:?}, not {alert:?}; counted {counted:?}, not {failure:?}"));
        }
        let shown = Contents::read(&case.chain[0]).unwrap();
        let expected = entry.map(|(set, subject, about)| {
            let whose = [subject, &shown.issuer, &shown.serial, &shown.key_hash.to_string()];
            line(failure, 1, set, &about, whose)
        });
        let (listed, expected) = (listed(&server), Vec::from_iter(expected));
        if listed != expected {
            wrong.push(format!("{name}: listed {listed:?}, not {expected:?}"));
        }
        assert_eq!(server.gate.connections().len(), 1, "{name}: let in");
        inside.is_undisturbed(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
