//! A client that does by hand what a library would not: keep no deadline of its own, read nothing, answer no ping.
//!
//! As little of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as a gRPC call needs.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::network::{Holder, Network};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `grpc-status` in the code of RFC 7541, Appendix B, with its length before it.
const GRPC_STATUS: [u8; 9] = [0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];

/// What came, without headers that are no status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// So many bytes of messages.
    Data(usize),
    /// The code that a call ends with.
    Status(u8),
    /// The stream was reset.
    Reset,
    /// The server takes no more calls on this connection.
    GoAway,
    /// The connection has ended.
    End,
}

/// A connection.
pub(crate) struct Raw(TlsStream<TcpStream>);

impl Raw {
    /// Connects as `holder`; the server may send `window` bytes of each stream.
    pub(crate) async fn connect(network: &Network, holder: &Holder, window: u32) -> Self {
        Self::connect_from(network, holder, window, Ipv4Addr::LOCALHOST.into()).await.expect("a connection")
    }

    /// Connects to a node.
    pub(crate) async fn connect_to(node: &str, network: &Network, holder: &Holder) -> Self {
        let from = Ipv4Addr::LOCALHOST.into();
        Self::connect_between(from, node, network, holder, 65_535).await.expect("a connection")
    }

    /// The same from one of this machine's addresses, unless the server hangs up before it has shaken hands, or right after.
    pub(crate) async fn connect_from(network: &Network, holder: &Holder, window: u32, from: IpAddr) -> Option<Self> {
        Self::connect_between(from, &network.address, network, holder, window).await
    }

    async fn connect_between(from: IpAddr, to: &str, network: &Network, holder: &Holder, window: u32) -> Option<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(network.path("ca/anchors.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_root_certificates(roots);
        let mut config = builder.with_client_auth_cert(holder.chain.clone(), holder.key.clone_key()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let tcp = socket.connect(to.parse().unwrap()).await.ok()?;
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
        let mut raw = Self(tls);
        // No table of headers, so that a status is always spelt out.
        let mut settings = vec![0, 1, 0, 0, 0, 0, 0, 4];
        settings.extend(window.to_be_bytes());
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &framed(SETTINGS, 0, 0, &settings)[..]].concat();
        raw.0.write_all(&begin).await.ok()?;
        raw.0.flush().await.ok()?;
        Some(raw)
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let frame = framed(kind, flags, stream, payload);
        self.0.write_all(&frame).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Opens a call on a stream (1, 3, 5 …).
    pub(crate) async fn open(&mut self, stream: u32, method: &str, more: &[(&str, &str)]) {
        let path = format!("/sluis.v1.{method}");
        let usual = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path.as_str()),
            (":authority", "127.0.0.1"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ];
        let mut block = Vec::new();
        for (name, value) in usual.iter().chain(more) {
            // Literal, not indexed, not compressed.
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                assert!(text.len() < 127);
                block.extend(text.bytes());
            }
        }
        self.frame(HEADERS, END_HEADERS, stream, &block).await;
    }

    /// Sends one message, and nothing after it.
    pub(crate) async fn send(&mut self, stream: u32, message: &impl prost::Message) {
        let message = message.encode_to_vec();
        let mut data = vec![0];
        data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        data.extend(message);
        self.frame(DATA, END_STREAM, stream, &data).await;
    }

    /// Lets the server send more, on this stream and altogether.
    pub(crate) async fn take(&mut self, stream: u32, bytes: u32) {
        for stream in [0, stream] {
            self.frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
        }
    }

    /// What comes next on a stream, answering pings along the way.
    pub(crate) async fn next(&mut self, stream: u32) -> Came {
        loop {
            let Some((kind, flags, of, payload)) = self.read().await else { return Came::End };
            match kind {
                DATA | HEADERS | RESET if of != stream => {}
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload).await,
                DATA => return Came::Data(payload.len()),
                RESET => return Came::Reset,
                GOAWAY => return Came::GoAway,
                HEADERS => {
                    if let Some(code) = status(&payload) {
                        return Came::Status(code);
                    }
                }
                _ => {}
            }
        }
    }

    async fn read(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// How the call ends.
    pub(crate) async fn status(&mut self, stream: u32) -> u8 {
        loop {
            match tokio::time::timeout(Duration::from_secs(30), self.next(stream)).await.expect("an answer") {
                Came::Status(code) => return code,
                Came::Data(_) | Came::GoAway => {}
                Came::Reset => panic!("reset"),
                Came::End => panic!("the connection ended"),
            }
        }
    }

    /// Reads and answers nothing until the server hangs up.
    pub(crate) async fn until_cut(mut self) {
        while self.read().await.is_some() {}
    }
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The value of `grpc-status`: one or two digits in the code of RFC 7541, padded with ones.
fn status(block: &[u8]) -> Option<u8> {
    let at = block.windows(GRPC_STATUS.len()).position(|window| window == GRPC_STATUS)?;
    let value = &block[at + GRPC_STATUS.len()..];
    let length = usize::from(value[0] & 0x7f);
    let bits = value[1..=length].iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (32 - 8 * length);
    let (mut at, mut code) = (0, 0);
    while at + 5 <= 8 * u32::try_from(length).unwrap() {
        let five = bits << at >> 27;
        let six = bits << at >> 26;
        let digit = match (five, six) {
            (0..=2, _) => {
                at += 5;
                five
            }
            (_, 0b01_1001..=0b01_1111) => {
                at += 6;
                six - 0b01_1001 + 3
            }
            // The padding.
            _ => break,
        };
        code = code * 10 + digit;
    }
    u8::try_from(code).ok()
}

#[test]
fn statuses_are_read() {
    let block = |value: &[u8]| [&[0x10], &GRPC_STATUS[..], value].concat();
    // 0: 00000; 4: 011010; 8: 011110; 14: 00001 011010; 16: 00001 011100; each padded with ones.
    for (value, code) in [
        (&[0x81, 0x07][..], 0),
        (&[0x81, 0x6b], 4),
        (&[0x81, 0x7b], 8),
        (&[0x82, 0x0b, 0x5f], 14),
        (&[0x82, 0x0b, 0x9f], 16),
    ] {
        assert_eq!(status(&block(value)), Some(code));
    }
    assert_eq!(status(b"content-type"), None);
}
