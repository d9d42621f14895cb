//! What a dishonest hub, author or recipient could try with a whole record (DESIGN §7, research/crypto.md §8).

use rand_core::OsRng;
use uuid::Uuid;

use super::testing::{oin, time};
use super::*;
use crate::party::{Article, Category, Form, Oin, Role};
use crate::pseudonym::Epoch;

const AUTHOR: u64 = 1;
const RECIPIENT: u64 = 2;
const OTHER: u64 = 3;
const NEWCOMER: u64 = 4;

struct Party {
    oin: Oin,
    keys: AgentKeys,
    set: KeySet,
}

fn party(n: u64) -> Party {
    let keys = AgentKeys::generate(&mut OsRng).unwrap();
    let set = keys.key_set(oin(n), Epoch::FIRST, time()).unwrap();
    Party { oin: oin(n), keys, set }
}

/// Everybody's reference of the one case, each their own.
fn case_ref(party: &Party) -> String {
    format!("reference of {}", party.oin)
}

struct Record {
    id: Uuid,
    ciphertext: Vec<u8>,
    header: SignedHeader,
    key: RecordKey,
}

fn record(id: u128, suite: Suite, author: &Party, recipients: &[&Party], content: &[u8]) -> Record {
    let mut ciphertext = Vec::new();
    let mut sealer = BodySealer::new(FreshKey::generate(&mut OsRng));
    sealer.push(content, &mut ciphertext).unwrap();
    let body = sealer.finish(&mut ciphertext).unwrap();
    let id = Uuid::from_u128(id);
    let header = Header {
        record: id,
        article: Article::new(14).unwrap(),
        category: Category::C05,
        form: Form::I,
        author: author.oin.clone(),
        schema: "verslag/1".parse().unwrap(),
        created: time(),
        suite,
        key_commitment: body.key.commitment(),
        body: body.digest,
        recipients: recipients.iter().map(|party| recipient(id, party)).collect(),
        open_to: vec![],
    };
    Record { id, ciphertext, header: header.sign(&author.keys).unwrap(), key: body.key }
}

fn recipient(id: Uuid, party: &Party) -> Recipient {
    Recipient { oin: party.oin.clone(), role: Some(Role::R07), case: CaseBinding::new(id, &case_ref(party)) }
}

fn address(record: &Record, author: &Party, me: &Party) -> Result<AddressedHeader, HeaderError> {
    let expectation = Expectation { record: record.id, case_ref: &case_ref(me), me: &me.oin };
    record.header.clone().verify(&author.set, &expectation)
}

fn read(key: &RecordKey, header: &AddressedHeader, ciphertext: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut out = Vec::new();
    let mut opener = open_body(key, header)?;
    opener.push(ciphertext, &mut out)?;
    opener.finish(&mut out)?;
    Ok(out)
}

fn hpke<T>(error: HpkeError) -> Result<T, SealError> {
    Err(SealError::Hpke(error))
}

#[test]
fn a_record_reaches_its_recipients() {
    let (author, me, other) = (party(AUTHOR), party(RECIPIENT), party(OTHER));
    for suite in Suite::ALL {
        let record = record(1, suite, &author, &[&me, &other], b"verslag");
        for reader in [&me, &other] {
            let sealed = seal_for(&reader.set, &record.header, &record.key, &mut OsRng).unwrap();
            let header = address(&record, &author, reader).unwrap();
            let key = open_record_key(&reader.keys, &header, &sealed).ok().unwrap();
            assert_eq!(read(&key, &header, &record.ciphertext), Ok(b"verslag".to_vec()));
        }
    }
}

#[test]
fn another_recipients_key_does_not_open() {
    let (author, me, other) = (party(AUTHOR), party(RECIPIENT), party(OTHER));
    let record = record(1, Suite::XWing, &author, &[&me, &other], b"verslag");
    let sealed = seal_for(&other.set, &record.header, &record.key, &mut OsRng).unwrap();
    let header = address(&record, &author, &me).unwrap();
    assert!(open_record_key(&me.keys, &header, &sealed).err() == hpke::<()>(HpkeError::Open).err());
    assert_eq!(address(&record, &author, &party(NEWCOMER)), Err(HeaderError::NotAddressed));
    let stranger = seal_for(&party(NEWCOMER).set, &record.header, &record.key, &mut OsRng);
    assert_eq!(stranger, Err(SealError::NotAddressed));
}

/// Two honest records of one author to one recipient: no part of one goes with a part of the other.
#[test]
fn parts_of_two_records_do_not_mix() {
    let (author, me) = (party(AUTHOR), party(RECIPIENT));
    let first = record(1, Suite::XWing, &author, &[&me], b"first");
    let second = record(2, Suite::XWing, &author, &[&me], b"other");
    let sealed = seal_for(&me.set, &first.header, &first.key, &mut OsRng).unwrap();
    // Header swapped.
    let header = address(&second, &author, &me).unwrap();
    assert!(open_record_key(&me.keys, &header, &sealed).err() == hpke::<()>(HpkeError::Open).err());
    // Body swapped; the lengths are the same bucket.
    let header = address(&first, &author, &me).unwrap();
    let key = open_record_key(&me.keys, &header, &sealed).ok().unwrap();
    assert_eq!(first.ciphertext.len(), second.ciphertext.len());
    assert!(read(&key, &header, &second.ciphertext).is_err());
    // Replayed under the other's identifier.
    let expectation = Expectation { record: second.id, case_ref: &case_ref(&me), me: &me.oin };
    assert_eq!(first.header.clone().verify(&author.set, &expectation), Err(HeaderError::Record));
}

#[test]
fn a_record_does_not_move_to_another_case() {
    let (author, me) = (party(AUTHOR), party(RECIPIENT));
    let record = record(1, Suite::XWing, &author, &[&me], b"verslag");
    let expectation = Expectation { record: record.id, case_ref: "another case of mine", me: &me.oin };
    assert_eq!(record.header.verify(&author.set, &expectation), Err(HeaderError::Case));
}

/// The hub relabels a header, adds a recipient or drops one; it has no key to sign with.
#[test]
fn a_changed_header_is_noticed() {
    let (author, me, hub) = (party(AUTHOR), party(RECIPIENT), party(NEWCOMER));
    let honest = record(1, Suite::XWing, &author, &[&me], b"verslag");
    let sealed = seal_for(&me.set, &honest.header, &honest.key, &mut OsRng).unwrap();
    let original = honest.header.header().clone();
    let changed = [
        Header { category: Category::C01, ..original.clone() },
        Header { article: Article::new(15).unwrap(), ..original.clone() },
        Header { form: Form::P, ..original.clone() },
        Header { suite: Suite::X25519, ..original.clone() },
        Header { created: time() + time::Duration::DAY, ..original.clone() },
        Header { recipients: vec![recipient(honest.id, &me), recipient(honest.id, &hub)], ..original.clone() },
        Header { recipients: vec![recipient(honest.id, &hub)], ..original.clone() },
    ];
    for header in changed {
        let forged = header.sign(&hub.keys).unwrap();
        let stolen = SignedHeader::read(forged.bytes().to_vec(), honest.header.signature()).unwrap();
        for attempt in [forged, stolen] {
            assert_eq!(attempt.authenticate(&author.set), Err(HeaderError::Signature));
        }
        // Even with a signature of the author, what was sealed under the first header doesn't open under a second.
        let signed = header.sign(&author.keys).unwrap();
        let record = Record { id: honest.id, ciphertext: vec![], header: signed, key: clone_key(&honest.key) };
        if let Ok(addressed) = address(&record, &author, &me) {
            assert!(open_record_key(&me.keys, &addressed, &sealed).is_err());
        }
    }
}

fn clone_key(key: &RecordKey) -> RecordKey {
    RecordKey::from_bytes(key.as_bytes()).unwrap()
}

/// The hub takes the author's place: signs the same header under its own name, to look like the source.
#[test]
fn a_record_is_not_claimed_by_another_author() {
    let (author, me, thief) = (party(AUTHOR), party(RECIPIENT), party(OTHER));
    let honest = record(1, Suite::XWing, &author, &[&me], b"verslag");
    let sealed = seal_for(&me.set, &honest.header, &honest.key, &mut OsRng).unwrap();
    let claimed = Header { author: thief.oin.clone(), ..honest.header.header().clone() }.sign(&thief.keys).unwrap();
    let claimed = Record { header: claimed, ..honest };
    assert_eq!(address(&claimed, &author, &me), Err(HeaderError::Author));
    let header = address(&claimed, &thief, &me).unwrap();
    assert!(open_record_key(&me.keys, &header, &sealed).err() == hpke::<()>(HpkeError::Open).err());
}

/// An author that sends two recipients two keys for one ciphertext, so that they would read different texts.
#[test]
fn one_header_has_one_key() {
    let (author, me) = (party(AUTHOR), party(RECIPIENT));
    let honest = record(1, Suite::XWing, &author, &[&me], b"verslag");
    let second = FreshKey::generate(&mut OsRng).spend();
    assert_eq!(seal_for(&me.set, &honest.header, &second, &mut OsRng), Err(SealError::Commitment));
    // Past the check of an honest author:
    let sealed =
        hpke::seal_key(Suite::XWing, me.set.sealing_key(Suite::XWing), honest.header.bytes(), &second, &mut OsRng)
            .unwrap();
    let header = address(&honest, &author, &me).unwrap();
    assert!(open_record_key(&me.keys, &header, &sealed).err() == Some(SealError::Commitment));
}

#[test]
fn the_suite_is_not_downgraded() {
    let (author, me) = (party(AUTHOR), party(RECIPIENT));
    let record = record(1, Suite::XWing, &author, &[&me], b"verslag");
    let public_key = me.set.sealing_key(Suite::X25519);
    let sealed = hpke::seal_key(Suite::X25519, public_key, record.header.bytes(), &record.key, &mut OsRng).unwrap();
    let header = address(&record, &author, &me).unwrap();
    assert!(open_record_key(&me.keys, &header, &sealed).err() == hpke::<()>(HpkeError::Suite).err());
}

#[test]
fn a_truncated_body_is_noticed() {
    let (author, me) = (party(AUTHOR), party(RECIPIENT));
    let record = record(1, Suite::XWing, &author, &[&me], &[7; 200_000]);
    let header = address(&record, &author, &me).unwrap();
    for len in [0, 1, 65552, record.ciphertext.len() - 1] {
        assert_eq!(read(&record.key, &header, &record.ciphertext[..len]), Err(BodyError::Length));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let (author, me) = (party(AUTHOR), party(RECIPIENT));
    let honest = record(1, Suite::XWing, &author, &[&me], b"verslag");
    let body = BodyDigest { len: 28 * 1024 * 1024, sha256: [0; 32] };
    let header = Header { body, ..honest.header.header().clone() }.sign(&author.keys).unwrap();
    let header = address(&Record { header, ..honest }, &author, &me).unwrap();
    let key = FreshKey::generate(&mut OsRng).spend();
    assert!(open_body(&key, &header).err() == Some(BodyError::TooLarge));
}

#[test]
fn a_newcomer_opens_what_the_author_added_it_to() {
    let (author, me, newcomer) = (party(AUTHOR), party(RECIPIENT), party(NEWCOMER));
    let record = record(1, Suite::XWing, &author, &[&author, &me], b"verslag");
    // The author gets the key back from its own sealed copy.
    let own = seal_for(&author.set, &record.header, &record.key, &mut OsRng).unwrap();
    let key = open_record_key(&author.keys, &address(&record, &author, &author).unwrap(), &own).ok().unwrap();

    let addition = Addition::new(&record.header, recipient(record.id, &newcomer), time()).sign(&author.keys).unwrap();
    let addition = SignedAddition::read(addition.bytes().to_vec(), addition.signature()).unwrap();
    let sealed = seal_for_addition(&newcomer.set, &record.header, &addition, &key, &mut OsRng).unwrap();
    let case_ref = case_ref(&newcomer);
    let expectation = Expectation { record: record.id, case_ref: &case_ref, me: &newcomer.oin };
    let authentic = record.header.clone().authenticate(&author.set).unwrap();
    let header = addition.verify(authentic.clone(), &author.set, &expectation).unwrap();
    let key = open_record_key(&newcomer.keys, &header, &sealed).ok().unwrap();
    assert_eq!(read(&key, &header, &record.ciphertext), Ok(b"verslag".to_vec()));

    // Without the addition the newcomer is nobody, and for another case or record it is refused.
    assert_eq!(authentic.clone().address(&expectation), Err(HeaderError::NotAddressed));
    for (record, case_ref, me, error) in [
        (record.id, "another", &newcomer.oin, HeaderError::Case),
        (Uuid::from_u128(2), case_ref.as_str(), &newcomer.oin, HeaderError::Record),
        (record.id, case_ref.as_str(), &me.oin, HeaderError::NotAddressed),
    ] {
        let expectation = Expectation { record, case_ref, me };
        assert_eq!(addition.verify(authentic.clone(), &author.set, &expectation), Err(error));
    }
}

#[test]
fn nobody_but_the_author_adds_a_newcomer() {
    let (author, me, newcomer) = (party(AUTHOR), party(RECIPIENT), party(NEWCOMER));
    let first = record(1, Suite::XWing, &author, &[&me], b"first");
    let second = record(2, Suite::XWing, &author, &[&me], b"second");
    let case_ref = case_ref(&newcomer);
    let expectation = Expectation { record: first.id, case_ref: &case_ref, me: &newcomer.oin };
    let authentic = first.header.clone().authenticate(&author.set).unwrap();

    // A recipient signs the addition; it knows the key, but a newcomer won't take it for the author's word.
    let forged = Addition::new(&first.header, recipient(first.id, &newcomer), time()).sign(&me.keys).unwrap();
    assert_eq!(forged.verify(authentic.clone(), &author.set, &expectation), Err(HeaderError::Signature));
    assert_eq!(forged.verify(authentic.clone(), &me.set, &expectation), Err(HeaderError::Author));

    // An addition to one record isn't one to another, nor to another header of the same record.
    let elsewhere = Addition::new(&second.header, recipient(first.id, &newcomer), time()).sign(&author.keys).unwrap();
    assert_eq!(elsewhere.verify(authentic.clone(), &author.set, &expectation), Err(HeaderError::Record));
    let renamed = Addition { record: first.id, ..elsewhere.addition().clone() }.sign(&author.keys).unwrap();
    assert_eq!(renamed.verify(authentic, &author.set, &expectation), Err(HeaderError::Record));
    let sealed = seal_for_addition(&newcomer.set, &first.header, &renamed, &first.key, &mut OsRng);
    assert_eq!(sealed, Err(SealError::Record));
    let honest = Addition::new(&first.header, recipient(first.id, &newcomer), time()).sign(&author.keys).unwrap();
    let sealed = seal_for_addition(&me.set, &first.header, &honest, &first.key, &mut OsRng);
    assert_eq!(sealed, Err(SealError::NotAddressed));
}
