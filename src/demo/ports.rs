//! Ports for the processes of a network. Below those that Linux gives to outgoing connections, so that none of these takes one
//! while its process is down.

use std::io;
use std::net::{TcpListener, UdpSocket};

use uuid::Uuid;

/// Ports that nobody else is given while this is held. A port is free between the moment it is chosen and the moment its
/// process listens there, and again while that process is down: what keeps another network on this machine from choosing it is
/// the UDP port of the same number, which this holds.
pub(super) struct Ports {
    numbers: Vec<u16>,
    held: Vec<UdpSocket>,
}

impl Ports {
    /// As many different ports of 127.0.0.1.
    ///
    /// # Errors
    /// Too few are free.
    pub(super) fn free(count: usize) -> io::Result<Self> {
        let mut ports = Self { numbers: Vec::new(), held: Vec::new() };
        for _ in 0..count.saturating_mul(4).saturating_add(100) {
            if ports.numbers.len() == count {
                return Ok(ports);
            }
            let port = 20_000 + Uuid::new_v4().as_fields().1 % 12_000;
            let here = ("127.0.0.1", port);
            if let Ok(held) = UdpSocket::bind(here)
                && TcpListener::bind(here).is_ok()
            {
                ports.held.push(held);
                ports.numbers.push(port);
            }
        }
        if ports.numbers.len() == count { Ok(ports) } else { Err(io::ErrorKind::AddrInUse.into()) }
    }

    /// Which they are.
    pub(super) fn numbers(&self) -> &[u16] {
        &self.numbers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Ports;

    #[test]
    fn ports_are_given_once_and_not_for_outgoing_connections() {
        let held: Vec<Ports> = (0..20).map(|_| Ports::free(50).unwrap()).collect();
        let all: BTreeSet<u16> = held.iter().flat_map(|ports| ports.numbers()).copied().collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|port| (20_000..32_000).contains(port)));
    }
}
