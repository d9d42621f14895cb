//! Handshakes that are none: what the peer hears (RFC 8446 §6.2), what is counted, and that nobody else notices.

use super::*;

/// Descriptions of alerts (RFC 8446 §6).
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_CERTIFICATE: u8 = 42;
const DECODE_ERROR: u8 = 50;
const CERTIFICATE_REQUIRED: u8 = 116;

/// Type of a record.
const HANDSHAKE: u8 = 22;

/// How the bytes go to the server.
#[derive(Clone, Copy)]
enum Way {
    /// At once, and then silence.
    AtOnce,
    /// At once, and then the end of the stream.
    ThenEnd,
    /// A byte in every so many milliseconds.
    Dribbled(u64),
}

/// What the server says to it.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// It ends the connection with this alert.
    Alert(u8),
    /// It ends the connection without a word.
    Nothing,
    /// It goes on with the handshake.
    ServerHello,
}

/// What a good client sends first, as one record.
fn hello(ca: &Ca) -> Vec<u8> {
    let config = Arc::new(client_config(ca, None));
    let mut session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    assert_eq!(usize::from(bytes[3]) << 8 | usize::from(bytes[4]), bytes.len() - 5, "one record");
    bytes
}

fn record(kind: u8, version: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, version[0], version[1], length[0], length[1]], payload].concat()
}

/// The same message in records of one byte each (RFC 8446 §5.1 allows it).
fn fragmented(hello: &[u8]) -> Vec<u8> {
    hello[5..].iter().flat_map(|byte| record(HANDSHAKE, [3, 1], &[*byte])).collect()
}

/// Changes the bytes at a place of a good hello.
fn altered(hello: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = hello.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

async fn send(server: &Server, bytes: &[u8], way: Way) -> Said {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // The server may have hung up before it has read everything.
    match way {
        Way::AtOnce => drop(stream.write_all(bytes).await),
        Way::ThenEnd => {
            drop(stream.write_all(bytes).await);
            drop(stream.shutdown().await);
        }
        Way::Dribbled(pause) => {
            for byte in bytes {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }
    let mut head = [0; 7];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut head)).await;
    match read.expect("the connection ends within the time of a handshake") {
        Ok(_) if head[0] == HANDSHAKE => Said::ServerHello,
        Ok(_) => {
            assert_eq!((head[0], &head[3..6]), (21, &[0, 2, 2][..]), "a fatal alert: {head:?}");
            Said::Alert(head[6])
        }
        Err(_) => Said::Nothing,
    }
}

/// Somebody who is in, and stays in and gets in while others come to nothing.
pub(super) struct Good<'s> {
    server: &'s Server,
    config: rustls::ClientConfig,
    open: ClientStream,
}

impl<'s> Good<'s> {
    async fn enter(server: &'s Server, ca: &Ca) -> Self {
        Self::enter_with(server, ca, &ca.issue(ALMELO, |_| {})).await
    }

    pub(super) async fn enter_with(server: &'s Server, ca: &Ca, identity: &Identity) -> Self {
        let config = client_config(ca, Some(identity));
        let open = call(server, config.clone()).await.unwrap();
        Self { server, config, open }
    }

    pub(super) async fn is_undisturbed(&mut self, name: &str) {
        let silence = tokio::time::timeout(Duration::from_millis(20), self.open.read_u8()).await;
        assert!(silence.is_err(), "{name}: the open connection has ended");
        drop(call(self.server, self.config.clone()).await.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

fn counts(server: &Server) -> Vec<(&'static str, u64)> {
    let failures = server.gate.failures();
    Failure::all().map(|failure| (failure.code(), failures.get(failure))).filter(|(_, count)| *count > 0).collect()
}

/// What was counted, once anything was.
pub(super) async fn counted(server: &Server) -> Vec<(&'static str, u64)> {
    for _ in 0..300 {
        if !counts(server).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    counts(server)
}

#[tokio::test]
async fn bytes_that_are_no_handshake_are_refused_with_their_alert() {
    use Failure::{Closed, Protocol, Timeout};
    use Said::{Alert, Nothing, ServerHello};
    use Way::{AtOnce, Dribbled, ThenEnd};
    let ca = Ca::new();
    let good = hello(&ca);
    let half = &good[..good.len() / 2];
    let garbage: Vec<u8> = (0..400_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    // SSL 2.0: two bytes of length, CLIENT-HELLO, version, lengths, one cipher, a challenge.
    let ssl2 = [&[0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80][..], &[7; 16]].concat();
    let short = [&[1, 0, 0, 34, 3, 3][..], &[7; 32]].concat();
    let table: Vec<(&str, Vec<u8>, Way, Said, Failure)> = vec![
        // What is good goes on, however it comes.
        ("a whole hello", good.clone(), AtOnce, ServerHello, Closed),
        ("records of one byte", fragmented(&good), AtOnce, ServerHello, Closed),
        ("a byte at a time", good.clone(), Dribbled(1), ServerHello, Closed),
        // What is slow has the time of a handshake and no more.
        ("nothing", vec![], AtOnce, Nothing, Timeout),
        ("half a hello", half.to_vec(), AtOnce, Nothing, Timeout),
        ("a byte at a time, and too slowly", good.clone(), Dribbled(50), Nothing, Timeout),
        ("half a hello, and gone", half.to_vec(), ThenEnd, Nothing, Closed),
        ("come and gone", vec![], ThenEnd, Nothing, Closed),
        // Not TLS.
        ("plain HTTP", b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n".to_vec(), AtOnce, Alert(DECODE_ERROR), Protocol),
        ("HTTP/2 without TLS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), AtOnce, Alert(DECODE_ERROR), Protocol),
        ("garbage", garbage, AtOnce, Alert(DECODE_ERROR), Protocol),
        ("SSL 2.0", ssl2, AtOnce, Alert(DECODE_ERROR), Protocol),
        // Records.
        ("a record of a version that is none", altered(&good, 1, &[5, 5]), AtOnce, Alert(DECODE_ERROR), Protocol),
        // The library's word for it; RFC 8446 §5.1 has record_overflow.
        ("an oversized record", record(HANDSHAKE, [3, 1], &[1; 0x4801]), AtOnce, Alert(DECODE_ERROR), Protocol),
        ("an empty record", record(HANDSHAKE, [3, 1], &[]), AtOnce, Alert(DECODE_ERROR), Protocol),
        ("data first", record(23, [3, 3], &[0; 64]), AtOnce, Alert(UNEXPECTED_MESSAGE), Protocol),
        ("a change of ciphers first", record(20, [3, 3], &[1]), AtOnce, Alert(UNEXPECTED_MESSAGE), Protocol),
        ("an alert first", record(21, [3, 3], &[2, 80]), AtOnce, Nothing, Failure::PeerRefused),
        // Messages.
        ("another message first", altered(&good, 5, &[20]), AtOnce, Alert(UNEXPECTED_MESSAGE), Protocol),
        ("a hello that ends too soon", record(HANDSHAKE, [3, 1], &short), AtOnce, Alert(DECODE_ERROR), Protocol),
        // For a message over 64 KiB the library has no word, and takes no more of it.
        ("a message of 16 MiB", altered(&good, 6, &[0xff; 3]), AtOnce, Nothing, Protocol),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, way, expected, failure) in table {
        // Long enough for the good ones on a machine that has much else to do; short where it is waited for.
        let handshake = Duration::from_secs(if failure == Timeout { 2 } else { 60 });
        let limits = Limits { handshake, ..Limits::default() };
        let server = Server::start(server_tls(&ca, Revocation::RegistryOnly, StillClock::new()), limits).await;
        let mut inside = Good::enter(&server, &ca).await;
        let said = send(&server, &bytes, way).await;
        let counted = counted(&server).await;
        if said != expected || counted != [(failure.code(), 1)] {
            wrong.push(format!("{name}: expected {expected:?} {failure:?}, got {said:?} {counted:?}"));
        }
        inside.is_undisturbed(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A client that shows this chain, and signs with this key whether or not it is the chain's.
pub(super) fn showing(
    ca: &Ca,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
) -> rustls::ClientConfig {
    let signer = rustls::crypto::ring::sign::any_supported_type(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain, signer);
    let mut config = client_config(ca, None);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    config
}

/// The alert that a client hears who is not let in, if the server says one before it hangs up.
pub(super) async fn heard(server: &Server, config: rustls::ClientConfig, name: &str) -> Option<u8> {
    let Err(error) = call(server, config).await else { panic!("{name}: got in") };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Some(u8::from(*alert)),
        // Hung up on, perhaps while it was still sending.
        _ => None,
    }
}

#[tokio::test]
async fn certificates_that_no_chain_needs_are_refused() {
    let ca = Ca::new();
    let (own, key) = ca.issue_parts(ALMELO, |_| {});
    let junk = vec![own, CertificateDer::from(vec![0x30; 1 << 20])];
    let table: [(&str, Option<Vec<_>>, Option<u8>, Failure); 3] = [
        ("an empty Certificate message", None, Some(CERTIFICATE_REQUIRED), Fault::NoCertificate.into()),
        (
            "a certificate of no bytes",
            Some(vec![CertificateDer::from(vec![])]),
            Some(BAD_CERTIFICATE),
            Fault::Malformed.into(),
        ),
        ("1 MiB of no certificate", Some(junk), None, Failure::Protocol),
    ];
    let mut wrong = Vec::new();
    for (name, chain, expected, failure) in table {
        let server =
            Server::start(server_tls(&ca, Revocation::RegistryOnly, StillClock::new()), Limits::default()).await;
        let mut inside = Good::enter(&server, &ca).await;
        let config = match chain {
            Some(chain) => showing(&ca, chain, &key),
            None => client_config(&ca, None),
        };
        let heard = heard(&server, config, name).await;
        let counted = counted(&server).await;
        if heard != expected || counted != [(failure.code(), 1)] {
            wrong.push(format!("{name}: expected {expected:?} {failure:?}, heard {heard:?}, counted {counted:?}"));
        }
        inside.is_undisturbed(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
