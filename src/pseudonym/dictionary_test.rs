//! The attack that a plain hash of a number can't withstand (G4): try the whole space. Here ten thousand numbers.

use std::collections::HashSet;

use rand_core::OsRng;

use super::*;
use crate::party::Oin;

/// The number to be found, and the first of the ten thousand guesses.
const TRUE_NUMBER: u32 = 999_964_264;
const FIRST_GUESS: u32 = 999_890_000;
const GUESSES: usize = 10_000;

/// All that the hub's operator holds: its keys, its tag column, and one partner's pseudonyms.
struct Hub {
    tag_keys: KeyRing,
    pseudonym_keys: KeyRing,
    tags: HashSet<[u8; 32]>,
    pseudonyms: HashSet<String>,
    partner: Oin,
}

impl Hub {
    fn knows(&self, y: &OprfOutput) -> bool {
        let tag = SubjectTag::derive(&self.tag_keys, y).unwrap();
        let pseudonym =
            Pseudonym::derive(&self.pseudonym_keys, Epoch::FIRST, &tag, &self.partner, Scope::Case).unwrap();
        self.tags.contains(tag.as_bytes()) || self.pseudonyms.contains(&pseudonym.to_text())
    }
}

fn guesses() -> impl Iterator<Item = Bsn> {
    (FIRST_GUESS..).filter_map(|number| Bsn::parse(&number.to_string()).ok()).take(GUESSES)
}

/// `y` as the agent gets it, through the blinded protocol.
fn refer(keyholder: &Keyholder, bsn: &Bsn) -> OprfOutput {
    let (blinding, blinded) = Blinding::start(&bsn.canonical_input(), &mut OsRng).unwrap();
    let answer = keyholder.evaluate(&blinded, &mut OsRng).unwrap();
    blinding.finish(&answer.evaluated[0], &answer.proof, &keyholder.public_key()).unwrap()
}

fn hub_after_one_referral(keyholder: &Keyholder) -> Hub {
    let mut hub = Hub {
        tag_keys: KeyRing::new(Epoch::FIRST, SecretKey::generate(&mut OsRng)),
        pseudonym_keys: KeyRing::new(Epoch::FIRST, SecretKey::generate(&mut OsRng)),
        tags: HashSet::new(),
        pseudonyms: HashSet::new(),
        partner: "00000099100001410000".parse().unwrap(),
    };
    let y = refer(keyholder, &Bsn::parse(&TRUE_NUMBER.to_string()).unwrap());
    let tag = SubjectTag::derive(&hub.tag_keys, &y).unwrap();
    let pseudonym = Pseudonym::derive(&hub.pseudonym_keys, Epoch::FIRST, &tag, &hub.partner, Scope::Case).unwrap();
    hub.tags.insert(*tag.as_bytes());
    hub.pseudonyms.insert(pseudonym.to_text());
    hub
}

#[test]
fn the_hub_alone_finds_nothing() {
    let keyholder = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
    let hub = hub_after_one_referral(&keyholder);
    for bsn in guesses() {
        // The best it can do without the keyholder's key: a key of its own, or any unkeyed function of the input.
        let input = bsn.canonical_input();
        let hashed = ring::digest::digest(&ring::digest::SHA512, &input);
        assert!(!hub.knows(&OprfOutput::from_bytes(hashed.as_ref()).unwrap()));
    }
    let own = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
    assert!(!guesses().any(|bsn| hub.knows(&own.evaluate_unblinded(&bsn).unwrap())));
}

#[test]
fn the_keyholder_alone_finds_nothing_in_a_stolen_database() {
    let keyholder = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
    let stolen = hub_after_one_referral(&keyholder);
    let without_keys = Hub {
        tag_keys: KeyRing::new(Epoch::FIRST, SecretKey::generate(&mut OsRng)),
        pseudonym_keys: KeyRing::new(Epoch::FIRST, SecretKey::generate(&mut OsRng)),
        ..stolen
    };
    assert!(!guesses().any(|bsn| without_keys.knows(&keyholder.evaluate_unblinded(&bsn).unwrap())));
}

/// Keeps the tests above honest: the number is among the guesses, and both keys together do find it.
#[test]
fn both_together_find_it() {
    let keyholder = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
    let hub = hub_after_one_referral(&keyholder);
    let found: Vec<Bsn> = guesses().filter(|bsn| hub.knows(&keyholder.evaluate_unblinded(bsn).unwrap())).collect();
    let expected = Bsn::parse(&TRUE_NUMBER.to_string()).unwrap();
    assert!(found.len() == 1 && found[0].canonical_input() == expected.canonical_input());
}
