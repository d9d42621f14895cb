//! Ports that were free a moment ago. Below those that Linux gives to outgoing connections, so that none of these takes one
//! while its process is down.

use std::io;
use std::net::TcpListener;

use uuid::Uuid;

/// As many different ports of 127.0.0.1. All are held at once, so that none is given out twice.
///
/// # Errors
/// Too few are free.
pub(super) fn free(count: usize) -> io::Result<Vec<u16>> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..count.saturating_mul(4).saturating_add(100) {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = 20_000 + Uuid::new_v4().as_fields().1 % 12_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            ports.push(port);
        }
    }
    if ports.len() == count { Ok(ports) } else { Err(io::ErrorKind::AddrInUse.into()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_different_and_not_for_outgoing_connections() {
        let ports = super::free(50).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 50);
        assert!(ports.iter().all(|port| (20_000..32_000).contains(port)));
    }
}
