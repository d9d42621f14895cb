//! What the edge knows of a connection, for whoever tests one.

use crate::api::v1;
use crate::tls::PeerInfo;
use crate::trust::Contents;
use crate::wire::timestamp;

/// Fills in certificate, handshake and what the caller says that it is.
pub(super) fn fill_in(reply: &mut v1::TestConnectionResponse, peer: &PeerInfo, agent: String) {
    reply.certificate = peer.leaf().and_then(|leaf| Contents::read(leaf).ok()).map(|leaf| certificate(peer, &leaf));
    reply.tls = Some(v1::SeenTls {
        protocol_version: peer.agreed.version.clone(),
        cipher_suite: peer.agreed.suite.clone(),
        group: peer.agreed.group.clone(),
        application_protocol: peer.agreed.protocol.clone(),
    });
    if let Some(versions) = &mut reply.versions {
        versions.agent = agent;
    }
}

fn certificate(peer: &PeerInfo, leaf: &Contents) -> v1::SeenCertificate {
    v1::SeenCertificate {
        oin: peer.certificate.oin().map(ToString::to_string).unwrap_or_default(),
        subject: leaf.subject.clone(),
        issuer: leaf.issuer.clone(),
        serial_number: leaf.serial.clone(),
        key_hash: leaf.key_hash.to_string(),
        policies: leaf.policies.iter().map(ToString::to_string).collect(),
        effective_time: Some(timestamp(leaf.not_before)),
        expire_time: Some(timestamp(leaf.not_after)),
        anchor_set: peer.certificate.set().to_owned(),
    }
}
