//! The next certificate of a holder who has one.

use super::*;
use crate::ca::RenewalError;
use crate::identity::signing_request::NextKey;
use crate::trust::Contents;

fn der(chain: &Path) -> Vec<u8> {
    certificates(chain)[0].to_vec()
}

#[test]
fn the_next_one_says_what_the_current_one_says_of_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    for (name, profile) in [("org", organisation()), ("person", person())] {
        let current = der(&authority.issue(name, &profile, 30, NOW).unwrap().chain);
        let key = NextKey::generate().unwrap();
        let chain = authority.renew(&current, &key.request().unwrap(), 90, NOW).unwrap();
        let (old, new) = (Contents::read(&current).unwrap(), Contents::read(&chain[0]).unwrap());
        assert_eq!(new.key_hash, key.key_hash());
        assert_eq!((&new.subject, &new.dns, &new.addresses), (&old.subject, &old.dns, &old.addresses));
        assert_eq!((&new.purposes, &new.leaf.policies), (&old.purposes, &old.leaf.policies));
        assert_eq!(new.days_left(NOW), 90);
        assert_eq!(chain.len(), 2, "with the one above it");
        // An answer that was lost is given again, and nothing is made twice.
        let before = authority.office().issued().unwrap().len();
        assert_eq!(authority.renew(&current, &key.request().unwrap(), 90, NOW).unwrap(), chain);
        assert_eq!(authority.office().issued().unwrap().len(), before);
        // And the next one is renewed in its turn.
        let again = NextKey::generate().unwrap();
        authority.renew(&chain[0], &again.request().unwrap(), 90, NOW).unwrap();
    }
}

#[test]
fn what_is_not_good_is_not_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = authority(path, Environment::Test);
    let request = || NextKey::generate().unwrap().request().unwrap();
    let refused = |current: &[u8], request: &[u8], now| match authority.renew(current, request, 90, now) {
        Err(CaError::Renewal(why)) => why,
        other => panic!("{:?}", other.map(drop)),
    };
    let good = authority.issue("good", &organisation(), 30, NOW).unwrap();
    let bad = authority.issue("bad", &organisation(), 30, NOW).unwrap();
    authority.office().revoke(&Which::Serial(bad.serial.clone()), Reason::KeyCompromise, NOW).unwrap();
    let other = tempfile::tempdir().unwrap();
    let stranger = super::authority(other.path(), Environment::Test).issue("good", &organisation(), 30, NOW).unwrap();
    let good = der(&good.chain);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut unsigned = request();
    *unsigned.last_mut().unwrap() ^= 1;
    let month = time::Duration::days(31);
    assert_eq!(refused(&good, &unsigned, NOW), RenewalError::Request);
    assert_eq!(refused(&der(&stranger.chain), &request(), NOW), RenewalError::NotOurs);
    assert_eq!(refused(&forged, &request(), NOW), RenewalError::NotOurs);
    assert_eq!(refused(b"nothing", &request(), NOW), RenewalError::NotOurs);
    assert_eq!(refused(&certificates(&path.join("issuing.pem"))[0], &request(), NOW), RenewalError::NotOurs);
    assert_eq!(refused(&der(&bad.chain), &request(), NOW), RenewalError::Revoked);
    assert_eq!(refused(&good, &request(), NOW + month), RenewalError::Expired);
    authority.renew(&good, &request(), 90, NOW).unwrap();
}
