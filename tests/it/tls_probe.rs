//! What a stranger finds out about the hub's door: testssl.sh, which nobody here wrote, against a hub that serves.

use std::process::Command;

use crate::network::Network;
use crate::processes::foreign;

/// What it must find, by its own names. Of what begins with `~` the rest may be a part.
const FOUND: &[(&str, &str)] = &[
    ("SSLv2", "not offered"),
    ("SSLv3", "not offered"),
    ("TLS1", "not offered"),
    ("TLS1_1", "not offered"),
    ("TLS1_2", "not offered"),
    ("TLS1_3", "offered with final"),
    ("NPN", "not offered"),
    ("ALPN_HTTP2", "h2"),
    ("PFS", "offered"),
    ("PFS_ciphers", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 TLS_AES_128_GCM_SHA256"),
    ("PFS_ECDHE_curves", "prime256v1 secp384r1 X25519"),
    // No early data (42), no tickets, nothing to resume; the names of the roots, for clients with several certificates.
    (
        "TLS_extensions",
        "'key share/#51' 'supported versions/#43' 'signature algorithms/#13' 'certificate authorities/#47'",
    ),
    ("TLS_session_ticket", "no -- no lifetime advertised"),
    ("SSL_sessionID_support", "no"),
    ("sessionresumption_ticket", "not supported"),
    ("TLS_timestamp", "random"),
    ("cert_signatureAlgorithm", "ECDSA with SHA256"),
    ("cert_keySize", "EC 256 bits"),
    ("cert_trust", "Ok via SAN"),
    ("certs_list_ordering_problem", "no"),
    ("heartbleed", "~not vulnerable"),
    ("CCS", "~not vulnerable"),
    ("ROBOT", "~not vulnerable"),
    ("secure_renego", "TLS 1.3 only server"),
    ("secure_client_renego", "~not vulnerable"),
    ("CRIME_TLS", "~not vulnerable"),
    ("POODLE_SSL", "~not vulnerable"),
    ("fallback_SCSV", "only TLS 1.3 supported"),
    ("FREAK", "~not vulnerable"),
    ("DROWN", "~not vulnerable"),
    ("LOGJAM", "~not vulnerable"),
    ("BEAST", "~not vulnerable"),
    ("LUCKY13", "~not vulnerable"),
    ("RC4", "~not vulnerable"),
    ("cipher-tls1_3_x1301", "~TLS_AES_128_GCM_SHA256"),
    ("cipher-tls1_3_x1302", "~TLS_AES_256_GCM_SHA384"),
    ("cipher-tls1_3_x1303", "~TLS_CHACHA20_POLY1305_SHA256"),
];

/// What it complains of, and why that is as it should be.
const KNOWN: &[(&str, &str)] =
    &[("cert_revocation", "the own authority publishes no list: the registry is asked on every call")];

/// How it calls what is bad.
const BAD: [&str; 4] = ["LOW", "MEDIUM", "HIGH", "CRITICAL"];

#[derive(serde::Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

/// Runs it, and reads what it found.
fn probe(testssl: &std::ffi::OsStr, network: &Network) -> Vec<Finding> {
    let file = network.path("testssl.json");
    let mut command = Command::new(testssl);
    command.args(["--warnings", "off", "--quiet", "--color", "0", "--nodns", "none", "--connect-timeout", "10"]);
    command.args(["--openssl-timeout", "5", "--add-ca"]).arg(network.path("ca/anchors.pem"));
    command.args(["--protocols", "--server-defaults", "--cipher-per-proto", "--pfs", "--vulnerable", "--jsonfile"]);
    // It waits this long, in seconds, for answers that a server without a mistake never gives.
    command.env("HEADER_MAXSLEEP", "2").env("CCS_MAX_WAITSOCK", "2").env("HEARTBLEED_MAX_WAITSOCK", "2");
    let output = command.arg(&file).arg(&network.address).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_slice(&std::fs::read(file).expect(&said)).expect(&said)
}

/// What is not as it should be.
fn judge(findings: &[Finding]) -> Vec<String> {
    let mut wrong = Vec::new();
    for one in findings.iter().filter(|one| BAD.contains(&one.severity.as_str())) {
        if !KNOWN.iter().any(|(id, why)| *id == one.id && why.len() > 10) {
            wrong.push(format!("{} {}: {}", one.severity, one.id, one.finding));
        }
    }
    for (id, expected) in FOUND {
        // Some come twice, in two wordings; how bad each is, was judged above.
        let found: Vec<&str> = findings.iter().filter(|one| one.id == *id).map(|one| one.finding.trim()).collect();
        let is_right = |found: &&str| match expected.strip_prefix('~') {
            Some(part) => found.contains(part),
            None => found == expected,
        };
        if !found.iter().any(is_right) {
            wrong.push(format!("{id}: expected {expected}, found {found:?}"));
        }
    }
    for one in findings.iter().filter(|one| one.id.starts_with("cipher")) {
        if !FOUND.iter().any(|(known, _)| *known == one.id) {
            wrong.push(format!("{}: a cipher suite that is not meant to be offered", one.id));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn testssl_finds_nothing_but_what_is_meant_to_be_there() {
    let Some(testssl) = foreign("SLUIS_TEST_TESTSSL") else { return };
    let network = Network::start().await;
    let findings = tokio::task::block_in_place(|| probe(&testssl, &network));
    let wrong = judge(&findings);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // It was a stranger all the time, and the hub serves on.
    assert!(network.shown().await.is_some());
}

#[test]
fn every_finding_that_is_not_meant_to_be_there_is_seen() {
    let finding = |id: &str, severity: &str, finding: &str| Finding {
        id: id.to_owned(),
        severity: severity.to_owned(),
        finding: finding.to_owned(),
    };
    let right =
        || -> Vec<Finding> { FOUND.iter().map(|(id, text)| finding(id, "OK", text.trim_start_matches('~'))).collect() };
    assert!(judge(&right()).is_empty());
    for nth in 0..FOUND.len() {
        let mut missing = right();
        missing.remove(nth);
        assert_eq!(judge(&missing).len(), 1, "{}", FOUND[nth].0);
        let mut other = right();
        other[nth].finding = "offered".to_owned();
        assert_eq!(judge(&other).len(), usize::from(FOUND[nth].1 != "offered"), "{}", FOUND[nth].0);
    }
    for (extra, is_wrong) in [
        (finding("cipher-tls1_2_xc02b", "INFO", "TLSv1.2 xc02b ECDHE-ECDSA-AES128-GCM-SHA256"), true),
        (finding("BREACH", "MEDIUM", "potentially VULNERABLE"), true),
        (finding("cert_chain_of_trust", "CRITICAL", "failed (chain incomplete)."), true),
        (finding("cert_revocation", "HIGH", "Neither CRL nor OCSP URI provided"), false),
        (finding("engine_problem", "WARN", "No engine"), false),
    ] {
        let all: Vec<Finding> = right().into_iter().chain([extra]).collect();
        assert_eq!(judge(&all).len(), usize::from(is_wrong), "{}", all.last().unwrap().id);
    }
}
