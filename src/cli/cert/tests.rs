use std::process::Command;

use clap::Parser;

use super::*;
use crate::ca::{Authority, Profile};
use crate::clock::{Clock as _, SystemClock};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: CertArgs,
}

struct Office {
    folder: tempfile::TempDir,
}

impl Office {
    /// An authority with a certificate for a gemeente.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let ca = Authority::init(folder.path(), &"Proef".parse().unwrap(), Environment::Test, now).unwrap();
        let profile = Profile::Organisation {
            name: "Gemeente Almelo".parse().unwrap(),
            oin: "00000099100001410000".parse().unwrap(),
            alternatives: Vec::new(),
        };
        ca.issue("almelo", &profile, 397, now).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    async fn say(&self, args: &[&str]) -> (Result<(), CertError>, String) {
        let at = |word: &&str| {
            word.strip_prefix('@').map_or_else(|| (*word).to_owned(), |name| self.path(name).display().to_string())
        };
        let words = std::iter::once("cert".to_owned()).chain(args.iter().map(at));
        let line = Line::try_parse_from(words).unwrap();
        let mut out = Vec::new();
        let done = run(line.args, SystemClock.now(), &mut out).await;
        (done, String::from_utf8(out).unwrap())
    }

    fn openssl(&self, line: &str) -> bool {
        let run = Command::new("openssl").current_dir(self.folder.path()).args(line.split_whitespace()).output();
        run.is_ok_and(|done| done.status.success())
    }
}

const OWN: [&str; 4] = ["--anchors", "@anchors.pem", "--environment", "test"];

#[tokio::test]
async fn a_good_certificate_is_explained_in_both_languages() {
    let office = Office::new();
    for (language, words) in
        [("nl", ["Keten", "geldigheid", "geaccepteerd"]), ("en", ["Chain", "validity", "accepted"])]
    {
        let (done, said) = office.say(&[&["doctor", "@almelo.pem", "--language", language], &OWN[..]].concat()).await;
        assert!(done.is_ok(), "{done:?}\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(said.contains("00000099100001410000") && said.contains("P-256"), "{said}");
    }
    let (done, said) = office.say(&[&["--json", "doctor", "@almelo.pem"], &OWN[..]].concat()).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(done.is_ok());
    assert_eq!(said["sets"][0]["accepted"], true);
    assert_eq!(said["chain"]["order"], json!(["Gemeente Almelo", "Sluis issuing CA"]));
    let oin = said["fields"].as_array().unwrap().iter().find(|field| field["field"] == "oin").unwrap();
    assert_eq!(oin["grade"], "attention", "a test OIN");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let office = Office::new();
    let other = Office::new();
    office.write("other.pem", other.read("anchors.pem"));
    let chain = office.read("almelo.pem");
    let blocks: Vec<&str> = chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
    office.write("leaf.pem", blocks[0]);
    office.write("issuing-first.pem", format!("{}{}", blocks[1], blocks[0]));
    office.write("with-key.pem", format!("{chain}{}", office.read("almelo.key")));
    let case = async |args: &[&str], is_ok: bool, words: &[&str]| {
        let (done, said) = office.say(args).await;
        assert_eq!(done.is_ok(), is_ok, "{args:?}: {done:?}\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{args:?}: {words:?} in\n{said}");
        assert!(done.is_ok() || done.unwrap_err().is_finding(), "{args:?}");
    };
    let with = |first: &[&'static str]| [first, &OWN[..]].concat();
    case(&with(&["doctor", "@leaf.pem"]), false, &["ontbreekt", "Sluis issuing CA"]).await;
    case(&with(&["doctor", "@issuing-first.pem"]), true, &["niet in deze volgorde"]).await;
    case(&with(&["doctor", "@leaf.pem", "@issuing.pem"]), true, &["geaccepteerd"]).await;
    case(&with(&["doctor", "@with-key.pem"]), true, &["privésleutel", "Stuur hem nooit op"]).await;
    case(&["doctor", "@almelo.pem", "--anchors", "@other.pem", "--environment", "test"], false, &["keten"]).await;
    case(&with(&["doctor", "@almelo.pem", "--profile", "pkioverheid-g4-tls"]), false, &["✗ pkioverheid-g4-tls"]).await;
    case(&["doctor", "@almelo.pem"], true, &["Er zijn geen ankers genoemd"]).await;
    case(&["doctor", "@issuing.pem"], false, &["Het eigen certificaat komt eerst"]).await;
}

#[tokio::test]
async fn files_that_are_no_certificates_say_what_to_do() {
    let office = Office::new();
    office.write("empty", "");
    office.write("page.pem", "<html>");
    for (name, hint) in
        [("@empty", "no certificate in it"), ("@page.pem", "no certificate in it"), ("@absent", "can't be read")]
    {
        let (done, said) = office.say(&["doctor", name]).await;
        assert!(done.as_ref().unwrap_err().to_string().contains(hint), "{done:?}\n{said}");
    }
    assert!(matches!(office.say(&["doctor", "@almelo.key"]).await.0, Err(CertError::Nothing(_))));
    let (done, _) = office.say(&["doctor", "@almelo.pem", "--anchors", "@anchors.pem"]).await;
    assert!(done.unwrap_err().to_string().contains("other environment"), "an authority for tests, asked as production");
    let wrong = office.say(&["doctor", "@almelo.pem", "--anchors", "@anchors.pem", "--profile", "g5"]).await.0;
    assert!(wrong.unwrap_err().to_string().contains("pkioverheid-g1"));
}

/// As they come from suppliers and from Windows.
#[tokio::test]
async fn every_usual_form_is_read_and_put_in_order() {
    let office = Office::new();
    if !office.openssl("version") {
        return;
    }
    assert!(office.openssl("x509 -in almelo.pem -out leaf.pem"));
    assert!(office.openssl("crl2pkcs7 -nocrl -certfile issuing.pem -certfile leaf.pem -outform DER -out chain.p7b"));
    assert!(office.openssl("crl2pkcs7 -nocrl -certfile almelo.pem -outform PEM -out chain.p7c"));
    assert!(office.openssl("x509 -in almelo.pem -outform DER -out almelo.cer"));
    assert!(office.openssl("pkcs12 -export -in almelo.pem -inkey almelo.key -passout pass:geheim -out almelo.p12"));
    assert!(office.openssl("req -new -key almelo.key -subj /CN=a -out almelo.csr"));
    for files in
        [&["@chain.p7b"][..], &["@chain.p7c"], &["@almelo.cer", "@issuing.pem"], &["@issuing.pem", "@almelo.pem"]]
    {
        let (done, said) = office.say(&[&["doctor"], files, &OWN[..]].concat()).await;
        assert!(done.is_ok(), "{files:?}: {done:?}\n{said}");
        let _ = std::fs::remove_file(office.path("out.pem"));
        let (done, said) = office.say(&[&["convert"], files, &["--out", "@out.pem"]].concat()).await;
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(said, "Gemeente Almelo\nSluis issuing CA\n", "{files:?}");
        assert!(office.openssl("verify -CAfile root.pem -untrusted out.pem out.pem"), "{files:?}");
    }
    let refused = office.say(&["doctor", "@almelo.p12"]).await.0.unwrap_err().to_string();
    assert!(refused.contains("-nokeys"), "{refused}");
    let (done, said) = office.say(&["doctor", "@almelo.csr", "@almelo.pem"]).await;
    assert!(done.is_ok() && said.contains("certificaataanvraag"), "{done:?}\n{said}");
    assert!(matches!(office.say(&["convert", "@almelo.pem", "--out", "@out.pem"]).await.0, Err(CertError::Exists(_))));
    assert!(office.say(&["convert", "@almelo.pem", "--to", "der", "--out", "@out.der"]).await.0.is_ok());
    assert_eq!(std::fs::read(office.path("out.der")).unwrap(), std::fs::read(office.path("almelo.cer")).unwrap());
    assert!(office.say(&["convert", "@almelo.pem", "--to", "p7b", "--out", "@out.p7b"]).await.0.is_ok());
    assert!(office.openssl("pkcs7 -inform DER -in out.p7b -print_certs -out certificates.pem"));
    assert!(office.openssl("verify -CAfile root.pem -untrusted certificates.pem leaf.pem"));
    let (done, said) = office.say(&["convert", "@out.p7b", "--out", "@again.pem"]).await;
    assert!(done.is_ok() && said == "Gemeente Almelo\nSluis issuing CA\n", "{done:?} {said}");
}

proptest::proptest! {
    /// Whatever somebody sends is read or refused, and never a panic.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        std::fs::write(&file, &bytes).unwrap();
        proptest::prop_assert!(Holdings::read(&[file]).is_err());
    }
}
