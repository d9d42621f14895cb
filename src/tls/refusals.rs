//! Whose certificates and which addresses were refused lately and why, for operators: a partner that "does not connect" asks
//! them.
//!
//! Only in memory, only so many, and the same one again is counted. What a stranger writes into a certificate is cut short and
//! stays out of every log.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use super::crowd::group;
use super::failure::Failure;
use crate::trust::{Contents, Refused};

/// So many are remembered.
const MOST: usize = 200;
/// So many of one address (of IPv6 a /64): whoever makes up a new certificate for each try pushes out its own and nobody else's.
const MOST_OF_ONE: usize = 20;
/// Characters of a text that somebody else wrote.
const LONGEST: usize = 200;

/// One certificate that was refused, or an address that showed none or opened too many connections.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The first time.
    pub first: OffsetDateTime,
    /// The last time.
    pub last: OffsetDateTime,
    /// How often.
    pub count: u64,
    /// Where it came from last.
    pub address: IpAddr,
    /// Why.
    pub failure: Failure,
    /// The set of anchors that it came furthest in.
    pub set: Option<String>,
    /// The name, value or moment that it is about; empty when there is nothing to say.
    pub about: String,
    /// Holder, as its certificate says; empty when there was none that could be read.
    pub subject: String,
    /// Issuer, as the certificate says.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the public key, hexadecimal.
    pub key_hash: String,
}

/// What was shown, as far as it could be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    subject: String,
    issuer: String,
    serial: String,
    key_hash: String,
}

impl Shown {
    pub(super) fn of(leaf: &[u8]) -> Self {
        let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
        Contents::read(leaf).map_or_else(
            |_| Self::default(),
            |read| Self {
                subject: short(&read.subject),
                issuer: short(&read.issuer),
                serial: short(&read.serial),
                key_hash: read.key_hash.to_string(),
            },
        )
    }
}

/// The refusals of one listener, the latest last.
#[derive(Default)]
pub struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    /// All that are remembered, the latest first.
    pub fn list(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    pub(super) fn add(&self, refused: Refused, shown: Shown, address: IpAddr, now: OffsetDateTime) {
        let about = refused.about.chars().take(LONGEST).collect();
        self.put(refused.fault.into(), refused.set, about, shown, address, now);
    }

    /// One of which nothing is known but where it came from.
    pub(super) fn add_address(&self, failure: Failure, address: IpAddr, now: OffsetDateTime) {
        self.put(failure, None, String::new(), Shown::default(), address, now);
    }

    fn put(
        &self,
        failure: Failure,
        set: Option<String>,
        about: String,
        shown: Shown,
        address: IpAddr,
        now: OffsetDateTime,
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &Refusal| is_same(one, failure, &shown, address);
        let known = all.iter().position(same).and_then(|at| all.remove(at));
        let (first, count) = known.map_or((now, 0), |known| (known.first, known.count));
        // What is known already takes no further place, and keeps none at an address that it left.
        let mut of_address = all.iter().enumerate().filter(|(_, one)| group(one.address) == group(address));
        let oldest_of_address = of_address.next().map(|(at, _)| at);
        if of_address.count() + 1 >= MOST_OF_ONE {
            oldest_of_address.and_then(|at| all.remove(at));
        } else if all.len() >= MOST {
            all.pop_front();
        }
        let Shown { subject, issuer, serial, key_hash } = shown;
        all.push_back(Refusal {
            first,
            last: now,
            count: count + 1,
            address,
            failure,
            set,
            about,
            subject,
            issuer,
            serial,
            key_hash,
        });
    }
}

/// The same certificate for the same reason; without one, the same address.
fn is_same(one: &Refusal, failure: Failure, shown: &Shown, address: IpAddr) -> bool {
    one.failure == failure
        && one.key_hash == shown.key_hash
        && one.serial == shown.serial
        && (!shown.key_hash.is_empty() || one.address == address)
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::trust::Fault;

    const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

    fn shown(key: &str) -> Shown {
        Shown { key_hash: key.to_owned(), ..Shown::default() }
    }

    fn refused(fault: Fault) -> Refused {
        Refused { fault, set: None, at: None, about: "x".repeat(1000) }
    }

    #[test]
    fn the_same_is_counted_and_the_oldest_is_forgotten() {
        let refusals = Refusals::default();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        refusals.add(refused(Fault::Expired), shown("a"), here, NOW);
        refusals.add(refused(Fault::Expired), shown("a"), there, NOW + Duration::HOUR);
        refusals.add(refused(Fault::Policy), shown("a"), here, NOW);
        refusals.add(refused(Fault::NoCertificate), shown(""), here, NOW);
        refusals.add(refused(Fault::NoCertificate), shown(""), there, NOW);
        refusals.add_address(Failure::Crowded, here, NOW);
        refusals.add_address(Failure::Crowded, here, NOW);
        let all = refusals.list();
        assert_eq!((all.len(), all[0].failure, all[0].count), (5, Failure::Crowded, 2));
        let expired = all.iter().find(|one| one.failure == Fault::Expired.into()).unwrap();
        assert_eq!((expired.count, expired.first, expired.last), (2, NOW, NOW + Duration::HOUR));
        assert_eq!((expired.address, expired.about.len()), (there, LONGEST));
        for nth in 0..MOST {
            refusals.add(refused(Fault::Revoked), shown(&nth.to_string()), address(nth), NOW);
        }
        assert_eq!(refusals.list().len(), MOST);
        assert_eq!(refusals.list()[0].key_hash, (MOST - 1).to_string());
    }

    /// Each its own network.
    fn address(nth: usize) -> IpAddr {
        IpAddr::from([198, 51, u8::try_from(nth / 256).unwrap(), u8::try_from(nth % 256).unwrap()])
    }

    #[test]
    fn one_address_pushes_out_its_own_only() {
        let strangers: [fn(u16) -> IpAddr; 2] = [
            |_| IpAddr::from([192, 0, 2, 1]),
            // Another address each time, of one network.
            |nth| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, nth]),
        ];
        for stranger in strangers {
            let refusals = Refusals::default();
            refusals.add(refused(Fault::Expired), shown("partner"), IpAddr::from([192, 0, 2, 9]), NOW);
            for nth in 0..1000_u16 {
                refusals.add(refused(Fault::UnknownIssuer), shown(&nth.to_string()), stranger(nth), NOW);
            }
            let all = refusals.list();
            assert_eq!((all.len(), all.last().unwrap().key_hash.as_str()), (MOST_OF_ONE + 1, "partner"));
            assert_eq!((all[0].key_hash.as_str(), all[19].key_hash.as_str()), ("999", "980"), "its latest");
        }
    }

    #[test]
    fn what_comes_again_pushes_out_nobody_and_leaves_its_old_place() {
        let refusals = Refusals::default();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let add = |nth: usize, from| refusals.add(refused(Fault::UnknownIssuer), shown(&nth.to_string()), from, NOW);
        (0..MOST_OF_ONE).for_each(|nth| add(nth, here));
        add(3, here);
        assert_eq!((refusals.list().len(), refusals.list()[0].count), (MOST_OF_ONE, 2));
        // One moves elsewhere: there is room for another here.
        add(3, there);
        add(MOST_OF_ONE, here);
        let keys: Vec<String> = refusals.list().into_iter().map(|one| one.key_hash).collect();
        assert_eq!((keys.len(), keys.last().unwrap().as_str()), (MOST_OF_ONE + 1, "0"));
    }

    #[test]
    fn what_can_not_be_read_is_nobody() {
        let shown = Shown::of(b"<html>");
        assert!(shown.key_hash.is_empty() && shown.subject.is_empty());
    }
}
