//! Looks at what a server shows and says, and sends it nothing.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, ClientConfig, Error};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::files::Identity;
use super::verifier::tls13_signatures;
use super::{H2, provider};

/// For each step of looking.
const STEP: Duration = Duration::from_secs(5);
/// A server that refuses a certificate says so soon (RFC 8446 §4.4.2.4: after the client is done).
const WORD: Duration = Duration::from_secs(1);

/// What was seen.
pub struct Probe {
    /// The server's chain, as shown.
    pub chain: Vec<CertificateDer<'static>>,
    /// What the server said to end it: the TLS alert, for example `UnknownCA`.
    pub alert: Option<AlertDescription>,
    /// Whether the handshake came to its end.
    pub shaken: bool,
    /// Whether HTTP/2 was agreed on.
    pub speaks_h2: bool,
}

/// Makes a handshake with `address` (`host:port`), shows `identity` if there is one, and hangs up.
///
/// # Errors
/// No connection.
pub async fn probe(address: &str, name: ServerName<'static>, identity: Option<&Identity>) -> io::Result<Probe> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = tokio::time::timeout(STEP, TcpStream::connect(address)).await.map_err(late)??;
    let recorder = Arc::new(Recorder::default());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as _);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![H2.to_vec()];
    config.resumption = Resumption::disabled();
    let shaken = tokio::time::timeout(STEP, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let mut seen = Probe { chain: Vec::new(), alert: None, shaken: false, speaks_h2: false };
    match shaken.map_err(late)? {
        Ok(mut stream) => {
            seen.shaken = true;
            seen.speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
            // Whatever a good server says first is HTTP/2 settings; a bad word is an alert.
            if let Ok(Err(error)) = tokio::time::timeout(WORD, stream.read_u8()).await {
                seen.alert = alert(&error);
            }
        }
        Err(error) => seen.alert = alert(&error),
    }
    seen.chain.clone_from(&recorder.0.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(seen)
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

/// Lets every server pass, since nothing is sent to it, and remembers what it showed.
#[derive(Default)]
struct Recorder(Mutex<Vec<CertificateDer<'static>>>);

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(ServerCertVerified::assertion())
    }

    tls13_signatures!();
}
