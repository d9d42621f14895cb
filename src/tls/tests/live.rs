//! Cutting, reloading, closing, and tonic on top.

use tokio::sync::mpsc;
use tonic::transport::server::Connected as _;

use super::*;
use crate::tls::TlsConnection;

async fn ends_within_a_second(stream: &mut ClientStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(1), stream.read_u8());
    matches!(read.await, Ok(Err(_)))
}

async fn stays(stream: &mut ClientStream) -> bool {
    tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn cut_ends_the_connections_of_one_partner() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let server = Server::start(tls, Limits::default()).await;
    let mut almelo = call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.unwrap();
    let mut raalte = call(&server, client_config(&ca, Some(&ca.issue(RAALTE, |_| {})))).await.unwrap();
    assert_eq!(server.gate.connections().cut(&ALMELO.parse().unwrap()), 1);
    assert!(ends_within_a_second(&mut almelo).await);
    assert!(stays(&mut raalte).await);
    assert_eq!(server.gate.connections().cut(&ALMELO.parse().unwrap()), 0, "nothing left to cut");
}

#[tokio::test]
async fn cut_key_ends_one_key_only() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let server = Server::start(tls, Limits::default()).await;
    let identity = ca.issue(ALMELO, |_| {});
    let key = crate::identity::certificate::Leaf::read(identity.leaf().unwrap()).unwrap().key_hash;
    let mut one = call(&server, client_config(&ca, Some(&identity))).await.unwrap();
    let mut other = call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.unwrap();
    assert_eq!(server.gate.connections().cut_key(key), 1);
    assert!(ends_within_a_second(&mut one).await);
    assert!(stays(&mut other).await);
}

#[tokio::test]
async fn a_reload_keeps_the_healthy_and_cuts_the_revoked() {
    let ca = Ca::new();
    let clock = StillClock::new();
    let server =
        Server::start(server_tls(&ca, ca.crl(NOW - DAY / 2, &[]), Arc::clone(&clock)), Limits::default()).await;
    let number = |number| move |p: &mut CertificateParams| p.serial_number = Some(SerialNumber::from_slice(&[number]));
    let doomed = ca.issue(ALMELO, number(7));
    let mut revoked = call(&server, client_config(&ca, Some(&doomed))).await.unwrap();
    let mut healthy = call(&server, client_config(&ca, Some(&ca.issue(RAALTE, number(8))))).await.unwrap();
    assert_eq!(server.gate.reload(server_tls(&ca, ca.crl(NOW - DAY / 3, &[7]), clock)), 1);
    assert!(ends_within_a_second(&mut revoked).await);
    assert!(stays(&mut healthy).await);
    assert!(call(&server, client_config(&ca, Some(&doomed))).await.is_err());
    server.failed(Fault::Revoked).await;
}

#[tokio::test]
async fn two_anchors_stand_beside_each_other() {
    let (old, new) = (Ca::new(), Ca::new());
    let both = trust(&[old.0.der().clone(), new.0.der().clone()], Revocation::RegistryOnly);
    let identity = old.issue(RAALTE, |_| {});
    let made = |trust| ServerTls::new(&identity, trust, StillClock::new());
    let server = Server::start(made(both).unwrap(), Limits::default()).await;
    let config = |ca: &Ca| client_config(&old, Some(&ca.issue(ALMELO, |_| {})));
    let mut first = call(&server, config(&old)).await.unwrap();
    let mut second = call(&server, config(&new)).await.unwrap();
    assert_eq!(server.gate.reload(made(new.trust(Revocation::RegistryOnly)).unwrap()), 1);
    assert!(ends_within_a_second(&mut first).await);
    assert!(stays(&mut second).await);
}

/// The first half of a handshake: the server has answered, and the client has not shown its certificate yet.
fn half_a_handshake(address: &str, config: rustls::ClientConfig) -> (rustls::ClientConnection, std::net::TcpStream) {
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    while session.wants_write() {
        session.write_tls(&mut socket).unwrap();
    }
    // With the server's Finished read, the client considers the handshake done and has its own half to send.
    while session.is_handshaking() {
        session.read_tls(&mut socket).unwrap();
        session.process_new_packets().unwrap();
    }
    (session, socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_during_a_handshake_counts_for_it() {
    let ca = Ca::new();
    let clock = StillClock::new();
    let with_crl = |revoked: &[u8]| server_tls(&ca, ca.crl(NOW - DAY / 2, revoked), Arc::clone(&clock));
    for (revoked, good) in [(&[7_u8][..], false), (&[8], true)] {
        let server = Server::start(with_crl(&[]), Limits::default()).await;
        let doomed = ca.issue(ALMELO, |p| p.serial_number = Some(SerialNumber::from_slice(&[7])));
        let config = client_config(&ca, Some(&doomed));
        let (mut session, mut socket) = tokio::task::block_in_place(|| half_a_handshake(&server.address, config));
        assert_eq!(server.gate.reload(with_crl(revoked)), 0, "there is no connection to cut yet");
        let answered = tokio::task::block_in_place(|| {
            while session.wants_write() {
                session.write_tls(&mut socket).unwrap();
            }
            let read = session.read_tls(&mut socket).unwrap_or(0);
            read > 0 && session.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() == 1)
        });
        assert_eq!(answered, good);
        if !good {
            server.failed(Fault::Revoked).await;
            assert!(server.gate.connections().is_empty());
        }
    }
}

#[tokio::test]
async fn a_sweep_cuts_what_expired_meanwhile() {
    let ca = Ca::new();
    let clock = StillClock::new();
    let server = Server::start(server_tls(&ca, Revocation::RegistryOnly, Arc::clone(&clock)), Limits::default()).await;
    let mut short = call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.unwrap();
    let longer = ca.issue(RAALTE, |p| p.not_after = NOW + DAY * 9);
    let mut long = call(&server, client_config(&ca, Some(&longer))).await.unwrap();
    assert_eq!(server.gate.sweep(), 0);
    clock.0.fetch_add(2 * 24 * 3600, Ordering::Relaxed);
    assert_eq!(server.gate.sweep(), 1);
    assert!(ends_within_a_second(&mut short).await);
    assert!(stays(&mut long).await);
}

/// tonic with its health service on the gate; the handle of the gate and the address.
async fn grpc(ca: &Ca) -> (Gate, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tls = server_tls(ca, Revocation::RegistryOnly, StillClock::new());
    let (gate, incoming) = Gate::open(listener, tls, Limits::default());
    let (_, health) = tonic_health::server::health_reporter();
    let who = |request: tonic::Request<()>| {
        let peer = request.extensions().get::<Arc<PeerInfo>>().ok_or_else(|| tonic::Status::internal("no peer"))?;
        match peer.certificate.oin().map(crate::party::Oin::as_str) {
            Some(ALMELO) => Ok(request),
            _ => Err(tonic::Status::permission_denied("somebody else")),
        }
    };
    let service = tower::ServiceBuilder::new().layer(tonic::service::InterceptorLayer::new(who)).service(health);
    let serve = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
    tokio::spawn(serve);
    (gate, address)
}

fn client(ca: &Ca, identity: &Identity, name: &str) -> ClientTls {
    ClientTls::new(identity, &ca.trust(Revocation::RegistryOnly), name, StillClock::new()).unwrap()
}

#[tokio::test]
async fn grpc_sees_the_peer_and_a_cut_ends_its_stream() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let ca = Ca::new();
    let (gate, address) = grpc(&ca).await;
    let tls = client(&ca, &ca.issue(ALMELO, |_| {}), "localhost");
    let mut health = HealthClient::new(tls.connect(&address).await.unwrap());
    let request = || HealthCheckRequest { service: String::new() };
    assert!(health.check(request()).await.is_ok());
    assert!(tls.server_leaf().is_some());

    let mut stream = health.watch(request()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(gate.connections().cut(&ALMELO.parse().unwrap()), 1);
    let ended = tokio::time::timeout(Duration::from_secs(1), stream.message()).await;
    assert!(matches!(ended, Ok(Err(_))), "a live stream ends within a second");

    let stranger = client(&ca, &ca.issue(RAALTE, |_| {}), "localhost").connect(&address).await.unwrap();
    let refused = HealthClient::new(stranger).check(request()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn a_client_trusts_only_the_right_server() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (_gate, address) = grpc(&ca).await;
    let identity = ca.issue(ALMELO, |_| {});
    assert!(client(&ca, &identity, "localhost").connect(&address).await.is_ok());
    assert!(client(&ca, &identity, "hub.example.nl").connect(&address).await.is_err(), "another name");
    assert!(client(&other, &identity, "localhost").connect(&address).await.is_err(), "another CA");
    let listed = ClientTls::new(&identity, &ca.trust(ca.crl(NOW - DAY * 2, &[])), "localhost", StillClock::new());
    assert!(listed.unwrap().connect(&address).await.is_err(), "a stale CRL");
    assert!(client(&ca, &identity, "localhost").connect("127.0.0.1").await.is_err(), "no port");
}

/// Takes the connections of a gate with these limits as they come.
async fn gate_of(ca: &Ca, limits: Limits) -> (Server, mpsc::Receiver<TlsConnection>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tls = server_tls(ca, Revocation::RegistryOnly, StillClock::new());
    let (gate, mut incoming) = Gate::open(listener, tls, limits);
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(Ok(mut connection)) = incoming.next().await {
            connection.write_all(b"!").await.unwrap();
            connection.flush().await.unwrap();
            drop(sender.send(connection).await);
        }
    });
    (Server { gate, address }, receiver)
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let ca = Ca::new();
    let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
    let (server, mut taken) = gate_of(&ca, limits).await;
    let mut client = call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.unwrap();
    let mut connection = taken.recv().await.unwrap();
    // As long as it takes something, however slowly, it stays.
    for _ in 0..8 {
        connection.write_all(&[0; 1 << 16]).await.unwrap();
        connection.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.read_exact(&mut [0; 1 << 16]).await.unwrap();
    }
    let sent = async {
        loop {
            if let Err(error) = connection.write_all(&[0; 1 << 16]).await {
                return error.kind();
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), sent).await;
    assert_eq!(ended.expect("given up"), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_closed_gate_takes_nobody_and_keeps_whom_it_has() {
    let ca = Ca::new();
    let (server, mut taken) = gate_of(&ca, Limits::default()).await;
    let config = || client_config(&ca, Some(&ca.issue(ALMELO, |_| {})));
    let mut client = call(&server, config()).await.unwrap();
    let mut connection = taken.recv().await.unwrap();
    server.gate.close();
    assert!(taken.recv().await.is_none(), "the stream of connections ends");
    assert!(call(&server, config()).await.is_err());
    connection.write_all(b"?").await.unwrap();
    connection.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'?');
}

#[tokio::test]
async fn what_a_holder_has_under_way_is_one_count_over_all_of_its_connections() {
    let ca = Ca::new();
    let limits = Limits { per_key: 2, ..Limits::default() };
    let (server, mut taken) = gate_of(&ca, limits).await;
    let [almelo, raalte, other_key] = [ALMELO, RAALTE, ALMELO].map(|oin| ca.issue(oin, |_| {}));
    let config = |identity| client_config(&ca, Some(identity));
    let mut connections = Vec::new();
    for identity in [&almelo, &almelo, &raalte, &other_key] {
        let client = call(&server, config(identity)).await.unwrap();
        connections.push((client, taken.recv().await.unwrap()));
    }
    let load = |nth: usize| Arc::clone(&connections[nth].1.connect_info().load);
    assert!(Arc::ptr_eq(&load(0), &load(1)) && !Arc::ptr_eq(&load(0), &load(2)));
    assert!(!Arc::ptr_eq(&load(0), &load(3)), "another key of the same organisation");
    assert!(call(&server, config(&almelo)).await.is_err(), "no more than two");
    // Somebody still counts in it when all connections are gone: whoever comes back is counted on.
    let kept = load(0);
    drop(connections);
    assert!(server.gate.connections().is_empty());
    let _client = call(&server, config(&almelo)).await.unwrap();
    assert!(Arc::ptr_eq(&taken.recv().await.unwrap().connect_info().load, &kept));
}
