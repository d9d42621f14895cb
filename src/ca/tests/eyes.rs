//! Four eyes: one proposes, another approves, and nothing else is signed.

use super::super::operator::{Hand, Operator, Roster};
use super::super::secret::tests::from;
use super::*;

/// An authority with the operators anna and bert, and carla who is none; their keys lie in `folder`.
struct Bureau {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Bureau {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["anna", "bert", "carla"] {
            operator_key(path, name, &NewKey::Plain).unwrap();
        }
        let operator = |name: &str| Operator::from_argument(&format!("{name}={}/{name}.pub", path.display())).unwrap();
        let signing = Signing::FourEyes(Roster::new(vec![operator("anna"), operator("bert")]).unwrap());
        let issuing = Plan { signing, ..Plan::throwaway() };
        let (ca, name) = (path.join("ca"), "RET Testland".parse().unwrap());
        let plans = (Plan::throwaway(), issuing);
        let authority = Authority::init_with(&ca, &name, Environment::Test, plans, NOW).unwrap();
        let params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        fs::write(path.join("almelo.csr"), request.pem().unwrap()).unwrap();
        Self { folder, authority }
    }

    fn office(&self) -> &Office {
        self.authority.office()
    }

    fn hand(&self, name: &str) -> Result<Hand, CaError> {
        let key = self.folder.path().join(format!("{name}.key"));
        Hand::open(self.office().roster()?, &key, &from(self.folder.path()))
    }

    fn propose(&self, file: &str, by: &str) -> Result<Paper<Proposal>, CaError> {
        let wish = Wish {
            profile: "organisation".to_owned(),
            name: Some("Gemeente Almelo".to_owned()),
            oin: Some(ALMELO.to_owned()),
            alternatives: vec!["agent.almelo.example".to_owned()],
            days: 90,
            ..Wish::default()
        };
        let request = self.folder.path().join("almelo.csr");
        Paper::propose(self.office(), &request, (file.to_owned(), wish), &self.hand(by)?, NOW)
    }

    fn agreed(&self, file: &str) -> Paper<Proposal> {
        self.propose(file, "anna").unwrap().approve(self.office(), &self.hand("bert").unwrap(), NOW).unwrap()
    }
}

impl Bureau {
    /// The authority as its files say it is now.
    fn now(&self) -> Office {
        Office::read(&self.folder.path().join("ca"), Level::Issuing).unwrap()
    }

    fn operator(&self, name: &str, file: &str) -> Operator {
        Operator::from_argument(&format!("{name}={}/{file}.pub", self.folder.path().display())).unwrap()
    }

    fn hand_now(&self, file: &str) -> Result<Hand, CaError> {
        let key = self.folder.path().join(format!("{file}.key"));
        Hand::open(self.now().roster()?, &key, &from(self.folder.path()))
    }

    fn replace(&self, add: &[(&str, &str)], remove: &[&str], by: &str) -> Result<Paper<Replacement>, CaError> {
        let add = add.iter().map(|(name, file)| self.operator(name, file)).collect();
        let remove: Vec<String> = remove.iter().map(|name| (*name).to_owned()).collect();
        Paper::replace(&self.now(), (add, &remove), &self.hand_now(by)?, NOW)
    }

    fn approved(&self, paper: Paper<Replacement>, by: &str) -> Paper<Replacement> {
        paper.approve(&self.now(), &self.hand_now(by).unwrap(), NOW).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.now().roster().unwrap().all().iter().map(|one| one.name().to_owned()).collect()
    }
}

/// A paper that was changed on its way.
fn changed<M: Matter>(paper: &Paper<M>, from: &str, to: &str) -> Paper<M> {
    let text = serde_json::to_string(paper).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    serde_json::from_str(&text.replacen(from, to, 1)).unwrap()
}

#[test]
fn what_two_people_agreed_on_is_signed_and_registered() {
    let bureau = Bureau::new();
    let paper = bureau.agreed("almelo");
    assert_eq!(paper.signers(), ("anna", Some("bert")));
    let issued = bureau.authority.sign_paper(&paper, NOW + Duration::days(1)).unwrap();
    let ca = bureau.folder.path().join("ca");
    assert_eq!(webpki_verify(&ca, &issued.chain, webpki::KeyUsage::client_auth(), NOW + Duration::days(2)), Ok(()));
    let chain = certificates(&issued.chain);
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
    assert!(leaf.verify_is_valid_for_subject_name(&"evil.example".try_into().unwrap()).is_err());

    let entries = bureau.office().issued().unwrap();
    assert_eq!(entries.len(), 1);
    let (entry, eyes) = (&entries[0], entries[0].eyes.as_ref().unwrap());
    assert_eq!((&entry.serial, entry.days), (&issued.serial, 90));
    assert_eq!(entry.key_hash, issued.leaf.key_hash.to_string());
    assert_eq!(
        (entry.profile.as_str(), entry.subject.as_str(), entry.oin.as_deref()),
        ("organisation", "Gemeente Almelo", Some(ALMELO))
    );
    assert_eq!((eyes.proposed_by.as_str(), eyes.approved_by.as_str()), ("anna", "bert"));
    assert_eq!(entry.at.to_string(), "2026-06-02T12:00:00Z");
}

#[test]
fn nothing_less_is_signed() {
    let bureau = Bureau::new();
    let office = bureau.office();
    let (proposed, agreed) = (bureau.propose("a", "anna").unwrap(), bureau.agreed("b"));
    let sign = |paper: &Paper<Proposal>, now| bureau.authority.sign_paper(paper, now).err().unwrap();
    let other = Bureau::new();
    let later = NOW + Duration::days(8);
    let hash = proposed.check(office, NOW).unwrap().0.key_hash.clone();
    let other_hash = crate::identity::KeyHash::of(b"another key").to_string();
    type Is = fn(&EyesError) -> bool;
    let was_changed: Is = |error| matches!(error, EyesError::Changed(_));
    let cases: [(&str, CaError, Is); 14] = [
        ("issue", bureau.authority.issue("c", &organisation(), 30, NOW).err().unwrap(), |it| {
            matches!(it, EyesError::Needed)
        }),
        (
            "sign at once",
            bureau
                .authority
                .sign("c", &bureau.folder.path().join("almelo.csr"), &organisation(), 30, NOW)
                .err()
                .unwrap(),
            |it| matches!(it, EyesError::Needed),
        ),
        ("nobody approved", sign(&proposed, NOW), |it| matches!(it, EyesError::NotApproved)),
        (
            "the same person",
            proposed.clone().approve(office, &bureau.hand("anna").unwrap(), NOW).err().unwrap(),
            |it| matches!(it, EyesError::SamePerson(name) if name == "anna"),
        ),
        ("approved twice", agreed.clone().approve(office, &bureau.hand("bert").unwrap(), NOW).err().unwrap(), |it| {
            matches!(it, EyesError::AlreadyApproved)
        }),
        ("a stranger proposes", bureau.propose("d", "carla").err().unwrap(), |it| {
            matches!(it, EyesError::Stranger { .. })
        }),
        ("the OIN was changed", sign(&changed(&agreed, ALMELO, "00000099100001770000"), NOW), was_changed),
        (
            "the name was changed",
            sign(&changed(&agreed, "agent.almelo.example", "agent.raalte.example"), NOW),
            was_changed,
        ),
        ("the key was changed", sign(&changed(&agreed, &hash, &other_hash), NOW), was_changed),
        ("its end was changed", sign(&changed(&agreed, "2026-06-08", "2027-06-08"), NOW), was_changed),
        (
            "the approver was changed",
            sign(&changed(&agreed, "\"by\":\"bert\"", "\"by\":\"carla\""), NOW),
            |it| matches!(it, EyesError::NoOperator(name) if name == "carla"),
        ),
        ("it ended", sign(&agreed, later), |it| matches!(it, EyesError::Expired(_))),
        ("it is still to come", sign(&agreed, NOW - Duration::days(1)), |it| matches!(it, EyesError::FromTheFuture(_))),
        ("another authority", other.authority.sign_paper(&agreed, NOW).err().unwrap(), |it| {
            matches!(it, EyesError::OtherAuthority)
        }),
    ];
    for (name, error, is) in &cases {
        assert!(matches!(error, CaError::Eyes(error) if is(error)), "{name}: {error}");
    }
    assert_eq!(office.issued().unwrap(), [], "nothing was made");
    assert!(!bureau.folder.path().join("ca/b.pem").exists());
}

#[test]
fn a_proposal_is_signed_once() {
    let bureau = Bureau::new();
    let paper = bureau.agreed("almelo");
    let issued = bureau.authority.sign_paper(&paper, NOW).unwrap();
    fs::remove_file(&issued.chain).unwrap();
    let again = bureau.authority.sign_paper(&paper, NOW).err().unwrap();
    assert!(matches!(again, CaError::Eyes(EyesError::SignedBefore(serial)) if serial == issued.serial.to_string()));
}

/// Whoever proposes can sign whatever is in a proposal; the request has to hold all the same.
#[test]
fn a_request_for_another_key_is_refused() {
    let bureau = Bureau::new();
    let paper = bureau.propose("almelo", "anna").unwrap();
    let (proposal, _) = paper.check(bureau.office(), NOW).unwrap();
    let other = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let forged = Proposal { request: other, ..proposal.clone() };
    let paper = Paper::signed_by(forged, &bureau.hand("anna").unwrap(), NOW).unwrap();
    let refused = paper.approve(bureau.office(), &bureau.hand("bert").unwrap(), NOW).err().unwrap();
    assert!(matches!(refused, CaError::Eyes(EyesError::OtherKey)), "{refused}");
}

#[test]
fn a_roster_is_of_different_people_with_different_keys() {
    let bureau = Bureau::new();
    let path = bureau.folder.path().display();
    let operator = |text: &str| Operator::from_argument(&text.replace('@', &path.to_string()));
    let roster = |all: &[&str]| Roster::new(all.iter().map(|text| operator(text).unwrap()).collect());
    assert!(roster(&["anna=@/anna.pub", "bert=@/bert.pub", "carla=@/carla.pub"]).is_ok());
    assert!(matches!(roster(&["anna=@/anna.pub"]), Err(EyesError::TooFew)));
    for twice in [["anna=@/anna.pub", "anna=@/bert.pub"], ["anna=@/anna.pub", "bert=@/anna.pub"]] {
        assert!(matches!(roster(&twice), Err(EyesError::SameOperator)), "{twice:?}");
    }
    let from_request = operator("x=@/almelo.csr").unwrap();
    let from_certificate = operator("y=@/ca/issuing.pem").unwrap();
    assert_ne!(from_request.key_hash(), from_certificate.key_hash());
    assert_eq!(from_certificate.key_hash(), bureau.office().key_hash());
    for (text, hint) in [
        ("anna", "NAME=FILE"),
        ("a b=@/anna.pub", "NAME=FILE"),
        ("anna=@/anna.key", "no public key"),
        ("anna=@/absent", "can't be read"),
    ] {
        let error = operator(text).err().unwrap().to_string();
        assert!(error.contains(hint), "{text}: {error}");
    }
}

#[test]
fn production_needs_four_eyes() {
    let folder = tempfile::tempdir().unwrap();
    let plan = || Plan { key: NewKey::Locked(from(folder.path())), signing: Signing::Alone, crl_url: None };
    let (ca, name) = (folder.path().join("ca"), "RET".parse().unwrap());
    let refused = Authority::init_with(&ca, &name, Environment::Production, (plan(), plan()), NOW);
    assert!(matches!(refused, Err(CaError::Eyes(EyesError::TooFew))));
    assert!(!ca.exists());

    // An authority of one organisation's own systems is no way round it.
    let own = || Plan { signing: Signing::OwnSystems, ..plan() };
    let authority = Authority::init_with(&ca, &name, Environment::Production, (plan(), own()), NOW).unwrap();
    let oin: crate::party::Oin = "00000003123456780000".parse().unwrap();
    let organisation =
        Profile::Organisation { name: "Zorg".parse().unwrap(), oin: oin.clone(), alternatives: Vec::new() };
    let person = Profile::Person { person: "fg".parse().unwrap(), oin: oin.clone() };
    let with_oin = Profile::Server { name: "hub".parse().unwrap(), oin: Some(oin), alternatives: Vec::new() };
    for (profile, good) in
        [(organisation, false), (person, false), (with_oin, false), (server(), true), (local(), true)]
    {
        let made = authority.issue(profile.word(), &profile, 30, NOW);
        let refused = matches!(made, Err(CaError::Eyes(EyesError::OwnSystems)));
        assert_eq!((made.is_ok(), refused), (good, !good), "{}", profile.word());
    }
}

/// Who signs is the authority's own word: whoever can write into its directory adds nobody, and takes nobody away.
#[test]
fn operators_can_not_be_written_into_a_file() {
    let bureau = Bureau::new();
    let path = bureau.folder.path().join("ca/issuing.toml");
    let good = fs::read_to_string(&path).unwrap();
    let carla = fs::read_to_string(bureau.folder.path().join("carla.pub")).unwrap();
    let carla: String = carla.lines().filter(|line| !line.starts_with('-')).collect();
    let added = format!("{good}\n[[operators]]\nname = \"carla\"\npublic_key = \"{carla}\"\n");
    let alone = good.split("[[operators]]").next().unwrap().replace("four-eyes", "alone");
    let without_seal: String =
        good.lines().filter(|line| !line.starts_with("seal")).map(|line| format!("{line}\n")).collect();
    let of_another = fs::read_to_string(Bureau::new().folder.path().join("ca/issuing.toml")).unwrap();
    let token = "\n[token]\nmodule = \"/m\"\nlabel = \"t\"\nkey = \"k\"\n";
    let cases = [
        ("as it was", good.clone(), true),
        ("a comment", format!("# moved\n{good}"), true),
        ("another token", format!("{good}{token}"), true),
        ("somebody added", added, false),
        ("nobody left", alone, false),
        ("renamed", good.replace("anna", "carla"), false),
        ("no seal", without_seal, false),
        ("another authority's", of_another, false),
        ("a word more", format!("friendly = true\n{good}"), false),
        ("empty", String::new(), false),
    ];
    for (name, text, accepted) in cases {
        fs::write(&path, text).unwrap();
        match Office::read(&bureau.folder.path().join("ca"), Level::Issuing) {
            Ok(_) => assert!(accepted, "{name}"),
            Err(error) => {
                assert!(!accepted && matches!(error, CaError::Eyes(EyesError::Settings(_))), "{name}: {error}");
            }
        }
    }
}

#[test]
fn operators_agree_on_who_they_are() {
    let bureau = Bureau::new();
    let before = bureau.agreed("almelo");
    let paper = bureau.approved(bureau.replace(&[("carla", "carla")], &["anna"], "anna").unwrap(), "bert");
    let change = bureau.authority.replace_operators(&paper, NOW).unwrap();
    assert_eq!(
        (change.joined.as_slice(), change.left.as_slice()),
        (&["carla".to_owned()][..], &["anna".to_owned()][..])
    );
    assert_eq!((change.eyes.proposed_by.as_str(), change.eyes.approved_by.as_str()), ("anna", "bert"));
    assert_eq!((bureau.names(), bureau.now().changes()), (vec!["bert".to_owned(), "carla".to_owned()], &[change][..]));

    // Whoever is gone neither signs nor has signed; whoever came does both.
    assert!(matches!(bureau.hand_now("anna"), Err(CaError::Eyes(EyesError::Stranger { .. }))));
    let opened = |office| Authority::open_with(office, &from(bureau.folder.path())).unwrap();
    let authority = opened(bureau.now());
    let refused = authority.sign_paper(&before, NOW).err().unwrap();
    assert!(matches!(&refused, CaError::Eyes(EyesError::NoOperator(name)) if name == "anna"), "{refused}");
    let again = authority.replace_operators(&paper, NOW).err().unwrap();
    assert!(matches!(&again, CaError::Eyes(EyesError::NoOperator(name)) if name == "anna"), "{again}");

    // Another key for the same name; what is replayed after that has been overtaken.
    operator_key(bureau.folder.path(), "carla2", &NewKey::Plain).unwrap();
    let there = bureau.approved(bureau.replace(&[("carla", "carla2")], &["carla"], "carla").unwrap(), "bert");
    let change = authority.replace_operators(&there, NOW).unwrap();
    assert_eq!((change.joined.as_slice(), change.left.is_empty()), (&["carla".to_owned()][..], true));
    let back = bureau.approved(bureau.replace(&[("carla", "carla")], &["carla"], "bert").unwrap(), "carla2");
    authority.replace_operators(&back, NOW).unwrap();
    let replayed = authority.replace_operators(&there, NOW).err().unwrap();
    assert!(matches!(replayed, CaError::Eyes(EyesError::Overtaken)), "{replayed}");
    assert_eq!(bureau.now().changes().len(), 3);
}

#[test]
fn nobody_becomes_an_operator_alone() {
    let bureau = Bureau::new();
    let good = bureau.replace(&[("carla", "carla")], &[], "anna").unwrap();
    let agreed = bureau.approved(good.clone(), "bert");
    let carla = serde_json::to_string(&bureau.operator("carla", "carla")).unwrap();
    operator_key(bureau.folder.path(), "evil", &NewKey::Plain).unwrap();
    let evil = serde_json::to_string(&bureau.operator("carla", "evil")).unwrap();
    type Is = fn(&EyesError) -> bool;
    let apply = |paper: &Paper<Replacement>, now| bureau.authority.replace_operators(paper, now).err().unwrap();
    let propose = |add: &[(&str, &str)], remove: &[&str]| bureau.replace(add, remove, "anna").err().unwrap();
    let same = good.clone().approve(&bureau.now(), &bureau.hand_now("anna").unwrap(), NOW).err().unwrap();
    let cases: [(&str, CaError, Is); 11] = [
        ("nobody approved", apply(&good, NOW), |it| matches!(it, EyesError::NotApproved)),
        ("the same person", same, |it| matches!(it, EyesError::SamePerson(_))),
        ("another key", apply(&changed(&agreed, &carla, &evil), NOW), |it| matches!(it, EyesError::Changed(_))),
        ("it ended", apply(&agreed, NOW + Duration::days(8)), |it| matches!(it, EyesError::Expired(_))),
        ("another authority", Bureau::new().authority.replace_operators(&agreed, NOW).err().unwrap(), |it| {
            matches!(it, EyesError::OtherAuthority)
        }),
        ("one left", propose(&[], &["anna"]), |it| matches!(it, EyesError::TooFewStay)),
        ("nobody leaves", propose(&[("x", "evil")], &["dirk"]), |it| matches!(it, EyesError::NoOperator(_))),
        ("twice", propose(&[("x", "bert")], &[]), |it| matches!(it, EyesError::SameOperator)),
        (
            "one person as two",
            propose(&[("anna", "evil"), ("zed", "anna")], &["anna"]),
            |it| matches!(it, EyesError::KeyOfAnother(name) if name == "zed"),
        ),
        (
            "another name",
            propose(&[("carla", "anna"), ("d", "carla")], &["anna"]),
            |it| matches!(it, EyesError::KeyOfAnother(name) if name == "carla"),
        ),
        ("nothing", propose(&[], &[]), |it| matches!(it, EyesError::NothingChanges)),
    ];
    for (name, error, is) in &cases {
        assert!(matches!(error, CaError::Eyes(error) if is(error)), "{name}: {error}");
    }
    assert_eq!((bureau.names(), bureau.now().changes()), (vec!["anna".to_owned(), "bert".to_owned()], &[][..]));
}

/// The plain key lies open: whoever gets at it may protect it, and becomes nobody by that.
#[test]
fn a_key_is_protected_with_the_operators_of_now() {
    let bureau = Bureau::new();
    let (path, ca) = (bureau.folder.path(), bureau.folder.path().join("ca"));
    let opened = Authority::open(&ca).unwrap();
    let paper = bureau.replace(&[("carla", "carla")], &[], "anna").unwrap();
    bureau.authority.replace_operators(&bureau.approved(paper, "bert"), NOW).unwrap();
    let refused = Authority::open(&ca).unwrap().protect(Some(Signing::Alone), &from(path)).unwrap_err();
    assert!(matches!(refused, CaError::Eyes(EyesError::ByTwo)), "{refused}");
    opened.protect(None, &from(path)).unwrap();
    assert_eq!(bureau.names(), ["anna", "bert", "carla"]);
    assert_eq!(bureau.now().changes().len(), 1);
}
