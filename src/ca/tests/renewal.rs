//! The next certificate of a holder who has one.

use rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::ca::{Asking, RenewalError};
use crate::identity::signing_request::NextKey;
use crate::seal::certificate_signature::{Domain, sign, verify};
use crate::trust::Contents;

/// As a holder asks: with proof by the key of the current certificate, where that lies in the folder.
fn renew(
    authority: &Authority,
    keys: &Path,
    (current, request): (&[u8], &[u8]),
    now: OffsetDateTime,
) -> Result<Vec<Vec<u8>>, CaError> {
    let files = fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
    let keys = files.filter(|path| path.extension().is_some_and(|end| end == "key"));
    let proofs = keys.map(|path| sign(&PrivateKeyDer::from_pem_file(path).unwrap(), Domain::Renewal, request).unwrap());
    let leaf = CertificateDer::from(current);
    let proof = proofs.into_iter().find(|proof| verify(&leaf, Domain::Renewal, request, proof).is_ok());
    authority.renew(&Asking { current, request, proof }, 90, now)
}

/// The same with a key that was made elsewhere.
fn renew_with(authority: &Authority, key: &NextKey, current: &[u8], request: &[u8]) -> Result<Vec<Vec<u8>>, CaError> {
    let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap();
    let proof = Some(sign(&key, Domain::Renewal, request).unwrap());
    authority.renew(&Asking { current, request, proof }, 90, NOW)
}

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
        let chain = renew(&authority, folder.path(), (&current, &key.request().unwrap()), NOW).unwrap();
        let (old, new) = (Contents::read(&current).unwrap(), Contents::read(&chain[0]).unwrap());
        assert_eq!(new.key_hash, key.key_hash());
        assert_eq!((&new.subject, &new.dns, &new.addresses), (&old.subject, &old.dns, &old.addresses));
        assert_eq!((&new.purposes, &new.leaf.policies), (&old.purposes, &old.leaf.policies));
        assert_eq!(new.days_left(NOW), 90);
        assert_eq!(chain.len(), 2, "with the one above it");
        // An answer that was lost is given again, and nothing is made twice.
        let before = authority.office().issued().unwrap().len();
        assert_eq!(renew(&authority, folder.path(), (&current, &key.request().unwrap()), NOW).unwrap(), chain);
        assert_eq!(authority.office().issued().unwrap().len(), before);
        // And the next one is renewed in its turn.
        let again = NextKey::generate().unwrap();
        renew_with(&authority, &key, &chain[0], &again.request().unwrap()).unwrap();
    }
}

#[test]
fn what_is_not_good_is_not_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = authority(path, Environment::Test);
    let request = || NextKey::generate().unwrap().request().unwrap();
    let refused = |current: &[u8], request: &[u8], now| match renew(&authority, path, (current, request), now) {
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
    // Its holder has not asked: whoever hands requests on made this one up.
    let made_up = Asking { current: &good, request: &request(), proof: None };
    assert!(matches!(authority.renew(&made_up, 90, NOW), Err(CaError::Renewal(RenewalError::Proof))));
    let other = NextKey::generate().unwrap();
    let refused = renew_with(&authority, &other, &good, &other.request().unwrap());
    assert!(matches!(refused, Err(CaError::Renewal(RenewalError::Proof))), "by the new key alone");
    let (asked, instead) = (request(), request());
    let key = PrivateKeyDer::from_pem_file(path.join("good.key")).unwrap();
    let proof = Some(sign(&key, Domain::Renewal, &asked).unwrap());
    let refused = authority.renew(&Asking { current: &good, request: &instead, proof }, 90, NOW);
    assert!(matches!(refused, Err(CaError::Renewal(RenewalError::Proof))), "for another key");
    renew(&authority, path, (&good, &request()), NOW).unwrap();
}

/// The next issuing CA goes on with the holders of the last one, whose key is put away.
#[test]
fn a_new_issuing_ca_renews_what_the_old_one_made() {
    let folder = tempfile::tempdir().unwrap();
    let (old_dir, next_dir) = (folder.path().join("old"), folder.path().join("next"));
    let root = Authority::root(
        &folder.path().join("root"),
        &"RET".parse().unwrap(),
        Environment::Test,
        Plan::throwaway(),
        NOW,
    )
    .unwrap();
    let old = root.issuing(&old_dir, Plan::throwaway(), NOW).unwrap();
    let current = der(&old.issue("org", &organisation(), 30, NOW).unwrap().chain);
    let revoked = old.issue("bad", &organisation(), 30, NOW).unwrap();
    old.office().revoke(&Which::Serial(revoked.serial.clone()), Reason::KeyCompromise, NOW).unwrap();
    drop(old);
    std::fs::remove_file(old_dir.join("issuing.key")).unwrap();
    let request = || NextKey::generate().unwrap().request().unwrap();
    let next = || root.issuing(&next_dir, Plan::throwaway(), NOW).or_else(|_| Authority::open(&next_dir)).unwrap();
    let alone = renew(&next(), &old_dir, (&current, &request()), NOW);
    assert!(matches!(alone, Err(CaError::Renewal(RenewalError::NotOurs))), "it was not told of the other one");
    let before = || vec![Office::read(&old_dir, Level::Issuing).unwrap()];
    let following = next().following(before()).unwrap();
    let key = NextKey::generate().unwrap();
    let chain = renew(&following, &old_dir, (&current, &key.request().unwrap()), NOW).unwrap();
    let (read, issuing) = (Contents::read(&chain[0]).unwrap(), Contents::read(&chain[1]).unwrap());
    assert_eq!(read.subject, Contents::read(&current).unwrap().subject);
    assert_eq!((read.issuer, &chain[1]), (issuing.subject, &following.office().der));
    // Its own are its own, and what the old one revoked stays revoked.
    renew_with(&following, &key, &chain[0], &request()).unwrap();
    let refused = renew(&following, &old_dir, (&der(&revoked.chain), &request()), NOW);
    assert!(matches!(refused, Err(CaError::Renewal(RenewalError::Revoked))));
    // Of another network it is nobody's successor.
    let other = tempfile::tempdir().unwrap();
    Authority::init(other.path(), &"Elders".parse().unwrap(), Environment::Test, NOW).unwrap();
    let other = vec![Office::read(other.path(), Level::Issuing).unwrap()];
    assert!(matches!(next().following(other), Err(CaError::OtherNetwork(_))));
}

#[test]
fn a_key_of_another_kind_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let current = der(&authority.issue("org", &organisation(), 30, NOW).unwrap().chain);
    let request = crate::identity::signing_request::rsa_request();
    let refused = renew(&authority, folder.path(), (&current, &request), NOW);
    assert!(matches!(refused, Err(CaError::Renewal(RenewalError::Kind))), "{:?}", refused.map(drop));
}

/// What lies where an earlier run would have put its certificate is handed out only if it is the one that is asked for.
#[test]
fn what_an_earlier_run_left_is_compared_before_it_is_handed_out() {
    type Meddle = fn(&Authority, &Path, &Path);
    let cases: [(&str, Meddle, bool); 6] = [
        ("as it was", |_, _, _| {}, true),
        ("another's certificate", |_, made, other| assert!(fs::copy(other, made).unwrap() > 0), false),
        ("no certificate", |_, made, _| fs::write(made, "nothing").unwrap(), false),
        ("half of one", |_, made, _| fs::write(made, &fs::read(made).unwrap()[..200]).unwrap(), false),
        (
            "one that was taken back",
            |authority, made, _| drop(authority.office().revoke(&Which::File(made.into()), Reason::Superseded, NOW)),
            false,
        ),
        ("gone: it is made again", |_, made, _| fs::remove_file(made).unwrap(), true),
    ];
    for (what, meddle, is_good) in cases {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path(), Environment::Test);
        let current = der(&authority.issue("org", &organisation(), 30, NOW).unwrap().chain);
        let other = authority.issue("other", &person(), 30, NOW).unwrap().chain;
        let key = NextKey::generate().unwrap();
        renew(&authority, folder.path(), (&current, &key.request().unwrap()), NOW).unwrap();
        let hash = key.key_hash().to_string();
        meddle(&authority, &folder.path().join(format!("renewed-{}.pem", hash.get(..32).unwrap())), &other);
        match renew(&authority, folder.path(), (&current, &key.request().unwrap()), NOW) {
            Ok(chain) => {
                let new = Contents::read(&chain[0]).unwrap();
                assert!(is_good && new.key_hash == key.key_hash() && new.dns == ["agent.almelo.example"], "{what}");
            }
            Err(CaError::Renewal(RenewalError::OtherKey)) => assert!(!is_good, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn a_key_that_another_holder_has_is_not_renewed_to() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path(), Environment::Test);
    let current = der(&authority.issue("org", &organisation(), 30, NOW).unwrap().chain);
    let officer = der(&authority.issue("fg", &person(), 30, NOW).unwrap().chain);
    let key = NextKey::generate().unwrap();
    renew(&authority, folder.path(), (&officer, &key.request().unwrap()), NOW).unwrap();
    let refused = renew(&authority, folder.path(), (&current, &key.request().unwrap()), NOW);
    assert!(matches!(refused, Err(CaError::Renewal(RenewalError::OtherKey))), "{:?}", refused.map(drop));
}

#[test]
fn what_ends_a_request_and_what_is_the_authoritys_own_trouble() {
    let file = std::path::PathBuf::from("ca/renewed-1.pem");
    for (error, told) in [
        (CaError::Renewal(RenewalError::Revoked), Some(RenewalError::Revoked)),
        (CaError::Exists(file.clone()), Some(RenewalError::OtherKey)),
        (CaError::OutlivesCa, Some(RenewalError::Ending)),
        (CaError::BadDays, Some(RenewalError::Ending)),
        (CaError::TestOin, Some(RenewalError::Unlike)),
        (CaError::Missing("san"), Some(RenewalError::Unlike)),
        (CaError::Library(rcgen::Error::RemoteKeyError), None),
        (CaError::Damaged(file.clone()), None),
        (CaError::Unwritable { path: file, kind: std::io::ErrorKind::StorageFull }, None),
        (CaError::NoRandomness, None),
    ] {
        assert_eq!(error.refusal(), told, "{error}");
        // What a stranger hears names no path.
        assert!(told.is_none_or(|why| !why.to_string().contains('/') && why.to_string().len() <= 200));
    }
}

/// Two processes of one authority answer the same request.
#[test]
fn whoever_is_slower_hands_out_what_the_faster_one_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let current = der(&authority(path, Environment::Test).issue("org", &organisation(), 30, NOW).unwrap().chain);
    for _ in 0..8 {
        let request = NextKey::generate().unwrap().request().unwrap();
        let together = std::sync::Barrier::new(4);
        let renew = || {
            let authority = Authority::open(path).unwrap();
            together.wait();
            super::renewal::renew(&authority, path, (&current, &request), NOW).unwrap()
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..4).map(|_| scope.spawn(renew)).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| *one == all[0]));
    }
    assert_eq!(Office::read(path, Level::Issuing).unwrap().issued().unwrap().len(), 1 + 8);
}
