//! A header has one form, and only that is read.

use super::*;
use crate::seal::testing::{oin, time};
use rand_core::OsRng;

fn record() -> Uuid {
    Uuid::from_u128(0x0199_3847_1111_7222_8333_0123_4567_89ab)
}

fn recipient(n: u64) -> Recipient {
    Recipient { oin: oin(n), role: Some(Role::R07), case: CaseBinding::new(record(), &format!("case of {n}")) }
}

fn header() -> Header {
    Header {
        record: record(),
        article: Article::new(22).unwrap(),
        category: Category::C09,
        form: Form::I,
        author: oin(1),
        schema: "indicatie/1".parse().unwrap(),
        created: time(),
        suite: Suite::XWing,
        key_commitment: KeyCommitment::from_bytes([1; 32]),
        body: BodyDigest { sha256: [2; 32], len: 1040 },
        recipients: vec![recipient(2), recipient(3)],
        open_to: vec![Role::R02, Role::R09],
    }
}

fn author() -> (AgentKeys, KeySet) {
    let keys = AgentKeys::generate(&mut OsRng).unwrap();
    let set = keys.key_set(oin(1), crate::pseudonym::Epoch::FIRST, time()).unwrap();
    (keys, set)
}

/// Signs whatever text, as a dishonest author could.
fn signed(keys: &AgentKeys, text: &str) -> Result<SignedHeader, HeaderError> {
    SignedHeader::read(text.as_bytes().to_vec(), &keys.sign(DOMAIN, text.as_bytes()))
}

#[test]
fn the_bytes_are_pinned() {
    let text = String::from_utf8(header().to_bytes().unwrap()).unwrap();
    let binding = |n| crate::seal::canonical::encode(recipient(n).case.as_bytes());
    let expected = format!(
        concat!(
            r#"{{"article":22,"author":"00000099000000010000","category":"C09","ciphertext_len":1040,"#,
            r#""ciphertext_sha256":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI","created":"2026-11-21T20:53:01Z","#,
            r#""form":"I","key_commitment":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","#,
            r#""open_to":["R02","R09"],"#,
            r#""recipients":[{{"case_binding":"{}","oin":"00000099000000020000","role":"R07"}},"#,
            r#"{{"case_binding":"{}","oin":"00000099000000030000","role":"R07"}}],"#,
            r#""record":"01993847-1111-7222-8333-0123456789ab","schema":"indicatie/1","#,
            r#""suite":"xwing-hkdf-sha256-chacha20poly1305","version":1}}"#
        ),
        binding(2),
        binding(3)
    );
    assert_eq!(text, expected);
}

#[test]
fn a_signed_header_verifies_for_its_recipients() {
    let (keys, set) = author();
    let signed = header().sign(&keys).unwrap();
    let read = SignedHeader::read(signed.bytes().to_vec(), signed.signature()).unwrap();
    assert_eq!((&read, read.header()), (&signed, &header()));
    for n in [2, 3] {
        let expectation = Expectation { record: record(), case_ref: &format!("case of {n}"), me: &oin(n) };
        let addressed = read.clone().verify(&set, &expectation).unwrap();
        assert_eq!((addressed.header(), addressed.recipient()), (&header(), &recipient(n)));
    }
}

#[test]
fn what_the_recipient_did_not_ask_for_is_refused() {
    let (keys, set) = author();
    let signed = header().sign(&keys).unwrap();
    let other = Uuid::from_u128(7);
    for (record, case_ref, me, error) in [
        (other, "case of 2", 2, HeaderError::Record),
        (record(), "case of 3", 2, HeaderError::Case),
        (record(), "", 2, HeaderError::Case),
        (record(), "case of 4", 4, HeaderError::NotAddressed),
        (record(), "case of 1", 1, HeaderError::NotAddressed),
    ] {
        let expectation = Expectation { record, case_ref, me: &oin(me) };
        assert_eq!(signed.clone().verify(&set, &expectation), Err(error));
    }
}

#[test]
fn only_the_authors_signature_counts() {
    let ((keys, set), (other_keys, other_set)) = (author(), author());
    let signed = header().sign(&keys).unwrap();
    assert!(signed.clone().authenticate(&set).is_ok());
    assert_eq!(signed.clone().authenticate(&other_set), Err(HeaderError::Signature));
    assert_eq!(header().sign(&other_keys).unwrap().authenticate(&set), Err(HeaderError::Signature));
    let named_otherwise = keys.key_set(oin(2), crate::pseudonym::Epoch::FIRST, time()).unwrap();
    assert_eq!(signed.clone().authenticate(&named_otherwise), Err(HeaderError::Author));

    let bytes = signed.bytes().to_vec();
    for signature in [vec![], vec![0; 63], [signed.signature().as_slice(), &[0]].concat()] {
        assert_eq!(SignedHeader::read(bytes.clone(), &signature), Err(HeaderError::Signature));
    }
    // No signature at all, and one over the same bytes in another domain.
    for signature in [[0; 64], keys.sign(b"", &bytes), keys.sign(b"sluis/v1/addition\0", &bytes)] {
        let read = SignedHeader::read(bytes.clone(), &signature).unwrap();
        assert_eq!(read.authenticate(&set), Err(HeaderError::Signature));
    }
}

#[test]
fn other_forms_of_the_same_header_are_refused() {
    let (keys, _) = author();
    let text = String::from_utf8(header().to_bytes().unwrap()).unwrap();
    assert!(signed(&keys, &text).is_ok());
    let format = [
        String::new(),
        "{}".to_owned(),
        format!(" {text}"),
        format!("{text}\n"),
        format!("{text}{text}"),
        text.replace("\"version\":1", "\"version\": 1"),
        text.replace("\"version\":1", "\"version\":1.0"),
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("\"version\":1", "\"version\":1,\"x\":1"),
        text.replace("\"version\":1", "\"version\":1,\"version\":1"),
        text.replace(",\"version\":1", ""),
        text.replace("\"article\":22", "\"article\":0"),
        text.replace("\"article\":22", "\"article\":41"),
        text.replace("\"article\":22", "\"article\":\"22\""),
        text.replace("\"C09\"", "\"C99\""),
        text.replace("\"C09\"", "\"c09\""),
        text.replace("\"I\"", "\"X\""),
        text.replace("\"I\"", "\"\\u0049\""),
        text.replace("53:01Z", "53:01+00:00"),
        text.replace("53:01Z", "53:01.5Z"),
        text.replace("indicatie/1", "Indicatie"),
        text.replace("xwing-", "kyber-"),
        text.replace("AgICAgI\"", "AgICAgJ\""),
        text.replace("AgICAgI\"", "AgICAgI=\""),
        text.replace("AgICAgI\"", "\""),
        text.replace("0123456789ab", "0123456789AB"),
        text.replace("01993847-1111-7222-8333-0123456789ab", "0199384711117222833301234567 89ab"),
        text.replace("01993847-1111-7222-8333-0123456789ab", "01993847111172228333 0123456789ab"),
        text.replace("R07", "R19"),
        text.replace("R07", ""),
        text.replace("\"author\":\"0", "\"author\":\"1"),
        text.replace("1040", "-1"),
        text.replace("1040", "1040.5"),
    ];
    for altered in format {
        assert_ne!(altered, text);
        assert_eq!(signed(&keys, &altered).err(), Some(HeaderError::Format), "{altered}");
    }
    assert_eq!(signed(&keys, &format!("{text}{}", " ".repeat(MAX_HEADER_LEN))).err(), Some(HeaderError::TooLong));
}

#[test]
fn recipients_are_different_organisations_in_order() {
    let (keys, _) = author();
    let with = |recipients: Vec<Recipient>| Header { recipients, ..header() };
    let many = |count: u64| with((0..count).map(|n| recipient(n + 2)).collect());
    for bad in [
        with(vec![]),
        with(vec![recipient(3), recipient(2)]),
        with(vec![recipient(2), recipient(2)]),
        with(vec![recipient(2), Recipient { role: Some(Role::R09), ..recipient(2) }]),
        many(MAX_RECIPIENTS as u64 + 1),
    ] {
        assert_eq!(bad.sign(&keys).err(), Some(HeaderError::Recipients));
    }
    let full = many(MAX_RECIPIENTS as u64).sign(&keys).unwrap();
    assert!(full.bytes().len() <= MAX_HEADER_LEN);

    // A reader doesn't rely on the writer.
    let text = String::from_utf8(header().to_bytes().unwrap()).unwrap();
    for (from, to) in [("000000030000", "000000020000"), ("000000030000", "000000010000")] {
        let altered = text.replace(from, to);
        assert_eq!(signed(&keys, &altered).err(), Some(HeaderError::Recipients));
    }
}

#[test]
fn roles_to_open_to_are_different_and_in_order() {
    let (keys, _) = author();
    for bad in [vec![Role::R09, Role::R02], vec![Role::R02, Role::R02]] {
        assert_eq!(Header { open_to: bad, ..header() }.sign(&keys).err(), Some(HeaderError::Roles));
    }
    for good in [vec![], Role::ALL.to_vec()] {
        let signed = Header { open_to: good.clone(), ..header() }.sign(&keys).unwrap();
        assert_eq!(signed.header().open_to, good);
    }
    let text = String::from_utf8(header().to_bytes().unwrap()).unwrap();
    let roles = r#"["R02","R09"]"#;
    for (altered, error) in [
        (r#"["R09","R02"]"#, HeaderError::Roles),
        (r#"["R02","R02"]"#, HeaderError::Roles),
        (r#"["R02","R99"]"#, HeaderError::Format),
        (r#"["R02","-"]"#, HeaderError::Format),
        ("null", HeaderError::Format),
    ] {
        assert_eq!(signed(&keys, &text.replace(roles, altered)).err(), Some(error), "{altered}");
    }
    let absent = text.replace(&format!("\"open_to\":{roles},"), "");
    assert_eq!(signed(&keys, &absent).err(), Some(HeaderError::Format));
    // Widened after it was signed.
    let (keys, set) = author();
    let honest = header().sign(&keys).unwrap();
    let wider = text.replace(roles, r#"["R02","R05","R09"]"#);
    let widened = SignedHeader::read(wider.into_bytes(), honest.signature()).unwrap();
    assert_eq!(widened.authenticate(&set), Err(HeaderError::Signature));
}

#[test]
fn bindings_share_nothing_between_organisations_and_records() {
    let (record, other) = (record(), Uuid::from_u128(7));
    let bindings = [
        CaseBinding::new(record, "a"),
        CaseBinding::new(record, "b"),
        CaseBinding::new(other, "a"),
        CaseBinding::new(record, ""),
    ];
    for (index, binding) in bindings.iter().enumerate() {
        assert!(bindings[..index].iter().all(|earlier| earlier != binding));
    }
}

#[test]
fn schema_names_are_plain() {
    for text in ["indicatie/1", "a", "c20.factsheet-2", &"x".repeat(64)] {
        assert!(text.parse::<SchemaName>().is_ok());
    }
    for text in ["", "A", "a b", "a_b", "é", &"x".repeat(65)] {
        assert!(text.parse::<SchemaName>().is_err(), "{text:?}");
    }
}
