use super::*;
use crate::ca::{Authority, Level, Office, Profile, SecretFrom};
use crate::clock::{Clock, SystemClock};
use crate::identity::certificate::Environment;
use crate::pseudonym::Epoch;
use crate::seal::AgentKeys;
use crate::tls::files::{SetFiles, own_authority};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

const ALMELO: &str = "00000099100001410000";

fn profiles() -> [(&'static str, Profile); 4] {
    let oin = || ALMELO.parse().unwrap();
    [
        ("organisation", Profile::Organisation { name: name(), oin: oin(), alternatives: vec![] }),
        ("server", Profile::Server { name: name(), oin: Some(oin()), alternatives: vec![] }),
        ("person", Profile::Person { person: "fg-01".parse().unwrap(), oin: oin() }),
        ("local", Profile::Local { system: name() }),
    ]
}

fn name() -> crate::ca::Name {
    "Proef".parse().unwrap()
}

/// An authority in `dir/ca`, and partners' keys as an agent with its store in `dir` sees them.
fn network(dir: &Path) -> Partners {
    let now = SystemClock.now();
    let ca = Authority::init(&dir.join("ca"), &name(), Environment::Test, now).unwrap();
    for (file, profile) in profiles() {
        ca.issue(file, &profile, 30, now).unwrap();
    }
    reopened(dir)
}

fn reopened(dir: &Path) -> Partners {
    let anchors = dir.join("ca/anchors.pem");
    Partners::open(dir, own_authority(Environment::Test, &anchors).unwrap(), "proef".to_owned()).unwrap()
}

/// A new set of keys, signed under one of the certificates.
fn keys(dir: &Path, signer: &str, epoch: u32) -> v1::KeySet {
    let file = |extension: &str| dir.join("ca").join(format!("{signer}.{extension}"));
    let chain = CertificateDer::pem_file_iter(file("pem")).unwrap().map(|der| der.unwrap().to_vec()).collect();
    let keys = AgentKeys::generate(&mut rand_core::OsRng).unwrap();
    let set = keys.key_set(ALMELO.parse().unwrap(), Epoch::new(epoch).unwrap(), SystemClock.now()).unwrap();
    let signed = set.sign(&PrivateKeyDer::from_pem_file(file("key")).unwrap()).unwrap();
    v1::KeySet {
        document: signed.bytes,
        signature_scheme: signed.signature.scheme.code().into(),
        signature: signed.signature.signature,
        certificate_chain: chain,
        mandate: None,
    }
}

fn verdict(partners: &Partners, keys: &v1::KeySet) -> Result<(), PartnerKeysError> {
    partners.verify(Some(keys), &ALMELO.parse().unwrap(), SystemClock.now()).map(|_| ())
}

#[test]
fn only_the_organisations_own_certificate_vouches_for_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let partners = network(dir.path());
    for signer in ["server", "person", "local"] {
        let refusal = verdict(&partners, &keys(dir.path(), signer, 1));
        assert!(matches!(refusal, Err(PartnerKeysError::Certificate(_))), "{signer}: {refusal:?}");
    }
    assert_eq!(verdict(&partners, &keys(dir.path(), "organisation", 1)), Ok(()));
}

#[test]
fn keys_are_the_same_or_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let partners = network(dir.path());
    let [first, swapped, next, skipped] = [(5), (5), (6), (8)].map(|epoch| keys(dir.path(), "organisation", epoch));
    for (keys, expected) in [
        (&first, Ok(())),
        (&first, Ok(())),
        (&swapped, Err(PartnerKeysError::Swapped)),
        (&skipped, Err(PartnerKeysError::Skipped)),
        (&next, Ok(())),
        (&first, Err(PartnerKeysError::Rollback)),
        (&skipped, Err(PartnerKeysError::Skipped)),
        (&next, Ok(())),
    ] {
        assert_eq!(verdict(&partners, keys), expected);
    }
    let partners = reopened(dir.path());
    assert_eq!(verdict(&partners, &first), Err(PartnerKeysError::Rollback));
    assert_eq!(verdict(&partners, &next), Ok(()));
}

#[cfg(unix)]
#[test]
fn pins_are_the_agents_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    // Left behind by somebody with other habits.
    let pins = dir.path().join("pins");
    std::fs::create_dir(&pins).unwrap();
    std::fs::set_permissions(&pins, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(pins.join(ALMELO).with_extension("new"), "").unwrap();
    let partners = network(dir.path());
    verdict(&partners, &keys(dir.path(), "organisation", 1)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&pins), mode(&pins.join(ALMELO))), (0o700, 0o600));
}

#[test]
fn pins_read_back() {
    let seen = SystemClock.now();
    let vouched = Vouched { seen, until: seen + Duration::DAY, certificates: vec![vec![1, 2], vec![3]] };
    for vouched in [None, Some(vouched)] {
        for exposed in [false, true] {
            let pin = Pin { epoch: 3, sha256: [0xab; 32], vouched: vouched.clone(), exposed };
            assert_eq!(Pin::read(&pin.text()), Some(pin));
        }
    }
    let good = format!("3 {}", "ab".repeat(32));
    for text in [
        "",
        "3",
        "x ab",
        "3 ab",
        &good.replacen('3', "-1", 1),
        &format!("{good}\nseen yesterday"),
        &format!("{good}\nseen 2026-11-22T12:00:00Z until soon"),
        &format!("{good}\nseen 2026-11-22T12:00:00Z until 2026-11-22T12:00:00Z\ncertificate xy"),
        &format!("{good}\nand more"),
        &format!("{good}\nexposed\nexposed"),
    ] {
        assert_eq!(Pin::read(text), None, "{text}");
    }
}

const END: Duration = Duration::days(31);

fn recalled(partners: &Partners, keys: &v1::KeySet, later: Duration) -> Result<(), PartnerKeysError> {
    partners.recall(Some(keys), &ALMELO.parse().unwrap(), SystemClock.now() + later).map(|_| ())
}

#[test]
fn what_was_seen_while_somebody_vouched_for_it_opens_afterwards_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let partners = network(dir.path());
    let [before, seen, swapped, next] = [1, 2, 2, 3].map(|epoch| keys(dir.path(), "organisation", epoch));
    for keys in [&before, &seen] {
        assert_eq!(verdict(&partners, keys), Ok(()));
    }
    let over = NotSpeaking::Certificate(Fault::Expired);
    // Whoever has the certificate's key once it is over signs what it likes.
    let cases =
        [(&seen, Ok(())), (&before, Err(PartnerKeysError::Rollback)), (&swapped, Err(PartnerKeysError::Swapped))];
    let cases = cases.into_iter().chain([(&next, Err(PartnerKeysError::Unseen(over)))]);
    for partners in [partners, reopened(dir.path())] {
        for (keys, expected) in cases.clone() {
            assert_eq!(recalled(&partners, keys, END), expected);
            let sealing = partners.verify(Some(keys), &ALMELO.parse().unwrap(), SystemClock.now() + END);
            assert_eq!(sealing, Err(over.into()), "nothing is sealed to it");
        }
        assert_eq!(partners.recall(None, &ALMELO.parse().unwrap(), SystemClock.now()), Err(PartnerKeysError::Missing));
        let garbled = v1::KeySet { signature: vec![0; 64], ..seen.clone() };
        assert!(matches!(recalled(&partners, &garbled, END), Err(PartnerKeysError::Set(_))));
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let trust = own_authority(Environment::Test, &dir.path().join("ca/anchors.pem")).unwrap();
    let stranger = Partners::open(elsewhere.path(), trust, "proef".to_owned()).unwrap();
    assert_eq!(recalled(&stranger, &seen, END), Err(PartnerKeysError::Unseen(over)));
    assert_eq!(recalled(&stranger, &seen, Duration::ZERO), Ok(()), "it is good still");
}

/// Where a store was lost, people compare what another agent saw, and write the line.
#[test]
fn a_line_that_somebody_wrote_counts_once_the_certificate_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let partners = network(dir.path());
    let keys = keys(dir.path(), "organisation", 2);
    assert_eq!(verdict(&partners, &keys), Ok(()));
    let file = dir.path().join("pins").join(ALMELO);
    let line = std::fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned();
    std::fs::write(&file, &line).unwrap();
    assert_eq!(recalled(&reopened(dir.path()), &keys, END), Ok(()));
    // Not under anchors that the agent does not have, while it is not over.
    let other = Authority::init(&dir.path().join("other"), &name(), Environment::Test, SystemClock.now()).unwrap();
    let trust = own_authority(Environment::Test, &other.office().folder().join("anchors.pem")).unwrap();
    let partners = Partners::open(dir.path(), trust, "proef".to_owned()).unwrap();
    assert!(matches!(recalled(&partners, &keys, Duration::ZERO), Err(PartnerKeysError::Certificate(_))));
    assert_eq!(recalled(&partners, &keys, END), Ok(()), "anchors go when their time is over");
    std::fs::write(&file, line.replacen('2', "1", 1)).unwrap();
    assert!(matches!(recalled(&reopened(dir.path()), &keys, END), Err(PartnerKeysError::Unseen(_))));
}

/// Trust in the authority in `dir/ca` by its lists of now, which are good for so many days.
fn listed(dir: &Path, days: u16) -> Arc<Trust> {
    let (ca, now) = (dir.join("ca"), SystemClock.now());
    let root = Office::read(&ca, Level::Root).unwrap();
    let root = Authority::open_with(root, &SecretFrom::root(None)).unwrap().publish(days, now).unwrap();
    let lists = vec![Authority::open(&ca).unwrap().publish(days, now).unwrap().file, root.file];
    let set = SetFiles::built_in("own-ca", "sluis-ca-lists", &ca.join("anchors.pem")).unwrap();
    crate::tls::files::trust(Environment::Test, vec![SetFiles { lists, ..set }]).unwrap()
}

#[test]
fn what_a_list_says_of_the_certificate_counts_also_when_the_list_has_forgotten_it() {
    use crate::ca::{Reason, Which};
    for reason in Reason::ALL {
        let dir = tempfile::tempdir().unwrap();
        network(dir.path());
        let keys = keys(dir.path(), "organisation", 1);
        let partners = Partners::open(dir.path(), listed(dir.path(), 7), "proef".to_owned()).unwrap();
        assert_eq!(verdict(&partners, &keys), Ok(()));
        let office = Office::read(&dir.path().join("ca"), Level::Issuing).unwrap();
        office.revoke(&Which::File(dir.path().join("ca/organisation.pem")), *reason, SystemClock.now()).unwrap();
        partners.believe(listed(dir.path(), 7));
        assert_eq!(verdict(&partners, &keys), Err(NotSpeaking::Certificate(Fault::Revoked).into()));
        let harmless = matches!(reason, Reason::CessationOfOperation | Reason::Superseded | Reason::AffiliationChanged);
        let expected = if harmless { Ok(()) } else { Err(PartnerKeysError::Exposed) };
        for later in [Duration::ZERO, END] {
            assert_eq!(recalled(&partners, &keys, later), expected, "{reason:?}");
        }
        // Without any list, and after a start.
        assert_eq!(recalled(&reopened(dir.path()), &keys, END), expected, "{reason:?}");
    }
}

#[test]
fn a_certificate_that_only_came_along_closes_nothing() {
    use crate::ca::{Reason, Which};
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    let mut keys = keys(dir.path(), "organisation", 1);
    let of_somebody = CertificateDer::from_pem_file(dir.path().join("ca/person.pem")).unwrap().to_vec();
    let (path, partners) = (keys.certificate_chain.clone(), reopened(dir.path()));
    keys.certificate_chain.insert(1, of_somebody);
    assert_eq!(verdict(&partners, &keys), Ok(()));
    let pin = std::fs::read_to_string(dir.path().join("pins").join(ALMELO)).unwrap();
    assert_eq!(Pin::read(&pin).unwrap().vouched.unwrap().certificates, path);
    let office = Office::read(&dir.path().join("ca"), Level::Issuing).unwrap();
    let which = Which::File(dir.path().join("ca/person.pem"));
    office.revoke(&which, Reason::KeyCompromise, SystemClock.now()).unwrap();
    partners.believe(listed(dir.path(), 7));
    assert_eq!(recalled(&partners, &keys, END), Ok(()));
}

#[test]
fn a_list_that_is_not_there_closes_what_may_be_good_still() {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    let keys = keys(dir.path(), "organisation", 1);
    let partners = Partners::open(dir.path(), listed(dir.path(), 1), "proef".to_owned()).unwrap();
    assert_eq!(verdict(&partners, &keys), Ok(()));
    let stale = Err(NotSpeaking::Certificate(Fault::ListStale).into());
    assert_eq!(recalled(&partners, &keys, Duration::days(2)), stale);
    assert_eq!(recalled(&partners, &keys, END), Ok(()), "whoever is over is on no list");
}

/// A supplier's certificate is good for longer than the mandate by which it speaks.
#[test]
fn what_was_written_under_a_mandate_opens_when_the_mandate_is_over() {
    let (dir, supplier) = (tempfile::tempdir().unwrap(), "00000099900000010000");
    let partners = network(dir.path());
    let ca = Authority::open(&dir.path().join("ca")).unwrap();
    let profile = Profile::Organisation { name: name(), oin: supplier.parse().unwrap(), alternatives: vec![] };
    ca.issue("supplier", &profile, 60, SystemClock.now()).unwrap();
    let mandate = |days| {
        Some(crate::agent::tests::mandates::given(&dir.path().join("ca"), "organisation", ALMELO, supplier, days))
    };
    let keys = v1::KeySet { mandate: mandate(10), ..keys(dir.path(), "supplier", 1) };
    assert_eq!(verdict(&partners, &keys), Ok(()));
    let over = NotSpeaking::Mandate(crate::seal::MandateError::Over.into());
    for later in [11, 20].map(Duration::days) {
        let sealing = partners.verify(Some(&keys), &ALMELO.parse().unwrap(), SystemClock.now() + later);
        assert_eq!(sealing, Err(over.into()));
        assert_eq!(recalled(&partners, &keys, later), Ok(()));
    }
    // Not by a mandate that is none, while the one that was seen is good.
    let wrong = v1::KeySet { mandate: None, ..keys };
    assert_eq!(recalled(&partners, &wrong, Duration::ZERO), Err(NotSpeaking::Other.into()));
}
