use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use time::Duration as Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn list(issuer: &Authority, from: OffsetDateTime, days: i64) -> Vec<u8> {
    let params = CertificateRevocationListParams {
        this_update: from,
        next_update: from + Span::days(days),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// What a web server publishes: an answer for each path.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Answers>>);

/// Status and body by path.
type Answers = BTreeMap<String, (u16, Vec<u8>)>;

impl Published {
    fn put(&self, path: &str, code: u16, body: Vec<u8>) {
        self.0.lock().unwrap().insert(path.to_owned(), (code, body));
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let published = self.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                let path = String::from_utf8_lossy(&head[..read]).split(' ').nth(1).unwrap_or_default().to_owned();
                let (code, body) = published.0.lock().unwrap().get(&path).cloned().unwrap_or((404, Vec::new()));
                let head = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // A client that has enough hangs up.
                let _ = stream.write_all(&[head.into_bytes(), body].concat()).await;
            }
        });
        format!("http://{address}")
    }
}

struct Desk {
    folder: tempfile::TempDir,
    set: SetConfig,
    published: Published,
    url: String,
}

impl Desk {
    async fn with(issuer: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anchors = folder.path().join("anchors.pem");
        std::fs::write(&anchors, issuer.pem()).unwrap();
        let published = Published::default();
        let url = format!("{}/tsp.crl", published.serve().await);
        let set = SetConfig {
            name: "pki".to_owned(),
            profile: Some("pkioverheid-g4-other".to_owned()),
            profile_file: None,
            issuers: Some(anchors.clone()),
            anchors,
            policies: ["1.3.6.1.5.5.7.13.1".parse().unwrap()].into(),
            crls: Vec::new(),
            crl_urls: vec![url.clone()],
            crl_directory: Some(folder.path().join("crl")),
        };
        Self { folder, set, published, url }
    }

    async fn take(&self) -> Result<bool, NotTaken> {
        take(&self.set, &files(&self.set)[0], &self.url, SystemClock.now()).await
    }

    fn kept(&self) -> Option<OffsetDateTime> {
        let file = files(&self.set).remove(0);
        revocation_lists([file.as_path()]).ok().and_then(|lists| lists.iter().next().map(|list| list.this_update))
    }
}

fn now() -> OffsetDateTime {
    SystemClock.now().replace_nanosecond(0).unwrap()
}

#[tokio::test]
async fn a_newer_list_takes_the_old_ones_place_and_nothing_else_does() {
    let issuer = authority("TSP");
    let desk = Desk::with(&issuer).await;
    let path = "/tsp.crl";
    let (old, new) = (now() - Span::hours(5), now() - Span::hours(1));
    assert!(matches!(desk.take().await, Err(NotTaken::Status(StatusCode::NOT_FOUND))));
    desk.published.put(path, 200, list(&issuer, old, 2));
    assert!(matches!(desk.take().await, Ok(true)));
    assert!(matches!(desk.take().await, Ok(false)), "the same again is no change");
    let forger = authority("TSP");
    let stranger = authority("Other");
    for (body, code, expected) in [
        (b"<html>not found</html>".to_vec(), 200, "not a revocation list"),
        (list(&forger, new, 2), 200, "not signed by one of"),
        (list(&stranger, new, 2), 200, "another issuer's list"),
        (list(&issuer, new, 2).into_iter().chain([0]).collect(), 200, "not a revocation list"),
        (list(&issuer, now() + Span::days(1), 2), 200, "of the future"),
        (list(&issuer, new, 2), 500, "answered 500"),
        (vec![0; 33 << 20], 200, "can't be fetched"),
    ] {
        desk.published.put(path, code, body);
        let error = desk.take().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(desk.kept(), Some(old), "the last good one stays: {expected}");
    }
    desk.published.put(path, 200, list(&issuer, new, 2));
    assert!(matches!(desk.take().await, Ok(true)));
    assert_eq!(desk.kept(), Some(new));
    desk.published.put(path, 200, list(&issuer, old, 2));
    assert!(matches!(desk.take().await, Ok(false)), "an older one is not taken back");
    assert_eq!(desk.kept(), Some(new));
}

#[tokio::test]
async fn a_first_start_finds_its_lists_and_goes_on_without() {
    let issuer = authority("TSP");
    let desk = Desk::with(&issuer).await;
    let text = format!(
        "environment = \"test\"\n[[sets]]\nname = \"pki\"\nprofile = \"pkioverheid-g4-other\"\n\
         anchors = {:?}\npolicies = [\"1.3.6.1.5.5.7.13.1\"]\ncrl_urls = [{:?}]\ncrl_directory = {:?}\nissuers = {:?}\n",
        desk.set.anchors,
        desk.url,
        desk.folder.path().join("crl"),
        desk.set.anchors
    );
    let trust: TrustConfig = toml::from_str(&text).unwrap();
    let own = "certificate = \"a\"\nkey = \"b\"\n";
    let tls = toml::from_str(own).unwrap();
    fetch_missing(&trust).await;
    let lists = || crate::serve::trust(&tls, &trust).unwrap().sets()[0].lists().iter().count();
    assert_eq!(lists(), 0, "nothing is published: nobody under this issuer is let in, and everybody else is");
    desk.published.put("/tsp.crl", 200, list(&issuer, now(), 2));
    fetch_missing(&trust).await;
    assert_eq!(lists(), 1);
    let watched = crate::serve::watched(&tls, &trust);
    assert!(watched.contains(&kept(&desk.folder.path().join("crl"), &desk.url)), "so that it is put in force");
}

/// REFERENCE §3.1: at least every four hours; and what the configuration promises.
#[test]
fn lists_are_fetched_at_least_every_four_hours() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for all_well in [true, false] {
        let longest = (0..=u8::MAX).map(|chance| pause(all_well, chance)).max().unwrap();
        assert!(longest <= hours(1) + hours(1) / 4, "{longest:?}");
        // A round asks for one list after the other, and waits for each.
        assert!(longest + 100 * plain_http::PATIENCE <= hours(4), "{longest:?}");
        assert!(longest >= SOON, "and not without a pause: {longest:?}");
    }
}

#[tokio::test]
async fn only_plain_addresses_are_asked() {
    for url in ["https://crl.example/a.crl", "ftp://crl.example/a", "/a.crl", "", "http://"] {
        assert!(matches!(plain_http::fetch(url).await, Err(HttpError::Url)), "{url}");
    }
    assert!(matches!(plain_http::fetch("http://127.0.0.1:1/a.crl").await, Err(HttpError::Connection(_))));
}
