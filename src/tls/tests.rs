//! The handshake over loopback, with a CA made for each test and a clock that stands still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;

use super::*;
use crate::identity::certificate::Environment;
use crate::trust::{self, Fault, List, Lists, Profile, Set, Trust};

mod certificates;
mod files;
mod handshake;
mod live;
mod malformed;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const ALMELO: &str = "00000099100001410000";
const RAALTE: &str = "00000099100001770000";
const DAY: time::Duration = time::Duration::DAY;

/// A clock that stands still until a test moves it. Unix seconds.
#[derive(Debug)]
struct StillClock(AtomicU64);

impl StillClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW.unix_timestamp().unsigned_abs())))
    }
}

impl TimeProvider for StillClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// A certificate authority with one level.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn trust(&self, revocation: Revocation) -> Arc<Trust> {
        trust(&[self.0.der().clone()], revocation)
    }

    fn store(&self) -> rustls::RootCertStore {
        let mut store = rustls::RootCertStore::empty();
        store.add(self.0.der().clone()).unwrap();
        store
    }

    /// Certificate for client and server alike, named `localhost`, valid a day around now, altered by `change`.
    fn issue(&self, oin: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (certificate, key) = self.issue_parts(oin, change);
        Identity::new(vec![certificate], key).unwrap()
    }

    fn issue_parts(
        &self,
        oin: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), oin);
        params.not_before = NOW - DAY;
        params.not_after = NOW + DAY;
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    /// A CRL with these serial numbers, valid for a day from `from`.
    fn crl(&self, from: OffsetDateTime, revoked: &[u8]) -> Revocation {
        let revoked_certs = revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&[*serial]),
                revocation_time: from,
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let params = CertificateRevocationListParams {
            this_update: from,
            next_update: from + DAY,
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Revocation::Lists([List::read(params.signed_by(&self.0).unwrap().der()).unwrap()].into_iter().collect())
    }
}

/// How a set of the tests learns of revocation.
enum Revocation {
    RegistryOnly,
    Lists(Lists),
}

/// Trust in these roots: the own CA's rules, without its policies.
fn trust(roots: &[CertificateDer<'static>], revocation: Revocation) -> Arc<Trust> {
    let mut profile = Profile::built_in("sluis-ca").unwrap();
    profile.policies.clear();
    let lists = match revocation {
        Revocation::RegistryOnly => Lists::default(),
        Revocation::Lists(lists) => {
            profile.revocation = trust::Revocation::Lists;
            lists
        }
    };
    let set = Set::new("test", profile, roots, lists, Environment::Test).unwrap();
    Arc::new(Trust::new(Environment::Test, vec![set]))
}

fn server_tls(ca: &Ca, revocation: Revocation, clock: Arc<StillClock>) -> ServerTls {
    ServerTls::new(&ca.issue(RAALTE, |_| {}), ca.trust(revocation), clock).unwrap()
}

/// A listener on loopback that answers `!` to every connection that it lets in, and keeps it open.
struct Server {
    gate: Gate,
    address: String,
}

impl Server {
    async fn start(tls: ServerTls, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (gate, mut incoming) = Gate::open(listener, tls, limits);
        tokio::spawn(async move {
            while let Some(Ok(mut connection)) = incoming.next().await {
                tokio::spawn(async move {
                    connection.write_all(b"!").await?;
                    connection.flush().await?;
                    connection.read_u8().await
                });
            }
        });
        Self { gate, address }
    }

    async fn failed(&self, failure: impl Into<Failure>) {
        let failure = failure.into();
        for _ in 0..500 {
            if self.gate.failures().get(failure) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let seen: Vec<_> = Failure::all().filter(|f| self.gate.failures().get(*f) > 0).collect();
        panic!("expected {failure:?}, saw {seen:?}");
    }
}

type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Connects and waits for the server's byte: only then has the server accepted the client's certificate.
async fn call(server: &Server, config: rustls::ClientConfig) -> std::io::Result<ClientStream> {
    let stream = TcpStream::connect(&server.address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await?;
    stream.read_u8().await?;
    Ok(stream)
}

/// Client configuration in rustls' own terms, so that tests can leave things out.
fn client_config(ca: &Ca, identity: Option<&Identity>) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_details(provider(), StillClock::new())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(ca.store());
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity.certified())))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![H2.to_vec()];
    config
}
