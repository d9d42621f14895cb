//! Who gets in and who does not.

use super::*;

#[tokio::test]
async fn a_partner_gets_in() {
    let ca = Ca::new();
    let server = Server::start(server_tls(&ca, Revocation::RegistryOnly, StillClock::new()), Limits::default()).await;
    let stream = call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.unwrap();
    assert_eq!(server.gate.connections().len(), 1);
    drop(stream);
    for _ in 0..500 {
        if server.gate.connections().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place was not given back");
}

#[tokio::test]
async fn nobody_else_does() {
    let ca = Ca::new();
    let other = Ca::new();
    let serial =
        |params: &mut CertificateParams, number| params.serial_number = Some(SerialNumber::from_slice(&[number]));
    let cases = [
        ("no certificate", None, Fault::NoCertificate),
        ("a CA of the same name", Some(other.issue(ALMELO, |_| {})), Fault::BadSignature),
        ("expired", Some(ca.issue(ALMELO, |p| p.not_after = NOW - DAY / 2)), Fault::Expired),
        ("not yet valid", Some(ca.issue(ALMELO, |p| p.not_before = NOW + DAY / 2)), Fault::NotYetValid),
        (
            "server certificate",
            Some(ca.issue(ALMELO, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
            Fault::Purpose,
        ),
        ("no purpose", Some(ca.issue(ALMELO, |p| p.extended_key_usages.clear())), Fault::Purpose),
        ("no OIN", Some(ca.issue("123", |_| {})), Fault::WrongOin),
        ("revoked", Some(ca.issue(ALMELO, |p| serial(p, 7))), Fault::Revoked),
    ];
    for (name, identity, failure) in cases {
        let tls = server_tls(&ca, ca.crl(NOW - DAY / 2, &[7]), StillClock::new());
        let server = Server::start(tls, Limits::default()).await;
        assert!(call(&server, client_config(&ca, identity.as_ref())).await.is_err(), "{name}");
        server.failed(failure).await;
        assert!(server.gate.connections().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_stale_crl_closes_the_door() {
    let ca = Ca::new();
    let tls = server_tls(&ca, ca.crl(NOW - DAY * 2, &[]), StillClock::new());
    let server = Server::start(tls, Limits::default()).await;
    assert!(call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.is_err());
    server.failed(Fault::ListStale).await;
}

#[tokio::test]
async fn a_crl_of_another_issuer_closes_the_door() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Ca::new().crl(NOW - DAY / 2, &[]), StillClock::new());
    let server = Server::start(tls, Limits::default()).await;
    assert!(call(&server, client_config(&ca, Some(&ca.issue(ALMELO, |_| {})))).await.is_err());
    server.failed(Fault::ListInvalid).await;
}

#[tokio::test]
async fn tls_1_2_is_answered_with_protocol_version() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let server = Server::start(tls, Limits::default()).await;
    // ClientHello of RFC 5246 §7.4.1.2: one cipher suite, one signature scheme, one curve, no supported_versions.
    let extensions: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 16]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut alert = [0; 7];
    stream.read_exact(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert[6]), (21, 70), "RFC 8446 §6.2: alert protocol_version");
    server.failed(Failure::Incompatible).await;
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let server = Server::start(tls, Limits::default()).await;
    let mut config = client_config(&ca, Some(&ca.issue(ALMELO, |_| {})));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let error = call(&server, config).await.unwrap_err();
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let alert = rustls::AlertDescription::NoApplicationProtocol;
    assert_eq!(error, Some(&rustls::Error::AlertReceived(alert)), "RFC 7301 §3.2");
    server.failed(Failure::Incompatible).await;
}

#[tokio::test]
async fn a_half_open_handshake_times_out() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start(tls, limits).await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    server.failed(Failure::Timeout).await;
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0, "the server has hung up");
}

#[tokio::test]
async fn one_address_has_its_own_bound_which_changes_while_serving() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let per_address = PerAddress { handshakes: 2, per_second: 1_000 };
    let limits = Limits { per_address, ..Limits::default() };
    let server = Server::start(tls, limits).await;
    let partner = client_config(&ca, Some(&ca.issue(ALMELO, |_| {})));
    let _inside = call(&server, partner.clone()).await.unwrap();
    let stalled =
        [TcpStream::connect(&server.address).await.unwrap(), TcpStream::connect(&server.address).await.unwrap()];
    assert!(call(&server, partner.clone()).await.is_err());
    server.failed(Failure::Crowded).await;
    let refusals = server.gate.refusals().list();
    assert_eq!((refusals.len(), refusals[0].failure, refusals[0].count), (1, Failure::Crowded, 1));
    // Another address of this machine.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = socket.connect(server.address.parse().unwrap()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(partner.clone()));
    let mut other = connector.connect("localhost".try_into().unwrap(), other).await.unwrap();
    assert_eq!(other.read_u8().await.unwrap(), b'!');
    // Other limits count from the next connection on.
    server.gate.limit(Limits { per_address: PerAddress { handshakes: 3, ..per_address }, ..limits });
    let _more = call(&server, partner.clone()).await.unwrap();
    server.gate.limit(Limits { per_address: PerAddress { handshakes: 3, per_second: 1 }, ..limits });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _one = call(&server, partner.clone()).await.unwrap();
    assert!(call(&server, partner).await.is_err(), "two in one second");
    drop(stalled);
}

#[tokio::test]
async fn connections_are_bounded() {
    let ca = Ca::new();
    for limits in [Limits { connections: 1, ..Limits::default() }, Limits { per_key: 1, ..Limits::default() }] {
        let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
        let server = Server::start(tls, limits).await;
        let almelo = ca.issue(ALMELO, |_| {});
        let _first = call(&server, client_config(&ca, Some(&almelo))).await.unwrap();
        assert!(call(&server, client_config(&ca, Some(&almelo))).await.is_err());
        server.failed(Failure::Full).await;
        // Another partner is not in the way, nor is another key of the same one: a supplier has one for each customer.
        for oin in [RAALTE, ALMELO] {
            let other = call(&server, client_config(&ca, Some(&ca.issue(oin, |_| {})))).await;
            assert_eq!(other.is_ok(), limits.connections > 1, "{oin}");
        }
    }
}

#[tokio::test]
async fn nothing_is_resumed() {
    let ca = Ca::new();
    let tls = server_tls(&ca, Revocation::RegistryOnly, StillClock::new());
    let inside = tls.config(&Arc::new(tls.verifier())).unwrap();
    assert_eq!((inside.send_tls13_tickets, inside.max_early_data_size), (0, 0));
    assert!(!inside.ticketer.enabled() && !inside.session_storage.can_cache());
    let server = Server::start(tls, Limits::default()).await;
    let config = client_config(&ca, Some(&ca.issue(ALMELO, |_| {})));
    for _ in 0..2 {
        let stream = call(&server, config.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}
