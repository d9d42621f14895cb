//! Hot functions, each so often that what is around it does not count: for `benches/instructions`, which counts their
//! instructions. A time would depend on the machine and its mood; these numbers hardly do.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;

use prost::Message as _;
use sluis::api::v1;
use sluis::audit::{Action as Crude, Draft, Event, Outcome, SALTS, Stamp, Verdict, encode};
use sluis::covenant::Covenant;
use sluis::covenant::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Purpose, Question};
use sluis::party::{Article, Category, Form, Oin, OrgKind, Phase, Role};
use sluis::pseudonym::{Epoch, KeyRing, Pseudonym, Scope, SecretKey, SubjectTag};

/// Calls of each.
const TIMES: u32 = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let covenant = Covenant::embedded()?;
    let allowed = question().ok_or("article 10 exists")?;
    let denied = Question { purpose: Purpose::Hulp, ..allowed.clone() };
    if covenant.decide(&allowed).is_err() || covenant.decide(&denied).is_ok() {
        return Err("the questions are others than the names say".into());
    }
    let ring = KeyRing::new(Epoch::FIRST, SecretKey::from_bytes(&[7; 32])?);
    let tag = SubjectTag::from_stored(Epoch::FIRST, &[9; SubjectTag::LEN])?;
    let oin: Oin = "00000099100001410000".parse()?;
    let event = event();
    let case = case();

    measured_permit(&covenant, &allowed);
    measured_denial(&covenant, &denied);
    measured_pseudonym(&ring, &tag, &oin);
    measured_event(&event);
    measured_reply(&case);

    // For the script: by how much to divide.
    let functions: BTreeMap<&str, u32> =
        ["permit", "denial", "pseudonym", "event", "reply"].map(|name| (name, TIMES)).into();
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(&functions)?)?)
}

#[inline(never)]
fn measured_permit(covenant: &Covenant, question: &Question) {
    for _ in 0..TIMES {
        drop(black_box(covenant.evaluate(black_box(question))));
    }
}

#[inline(never)]
fn measured_denial(covenant: &Covenant, question: &Question) {
    for _ in 0..TIMES {
        drop(black_box(covenant.evaluate(black_box(question))));
    }
}

#[inline(never)]
fn measured_pseudonym(ring: &KeyRing, tag: &SubjectTag, oin: &Oin) {
    for _ in 0..TIMES {
        let pseudonym = Pseudonym::derive(black_box(ring), Epoch::FIRST, black_box(tag), black_box(oin), Scope::Case);
        drop(black_box(pseudonym.map(|pseudonym| pseudonym.to_text())));
    }
}

#[inline(never)]
fn measured_event(event: &Event) {
    for _ in 0..TIMES {
        drop(black_box(encode(black_box(event))));
    }
}

#[inline(never)]
fn measured_reply(case: &v1::Case) {
    for _ in 0..TIMES {
        drop(black_box(black_box(case).encode_to_vec()));
    }
}

/// The casusregisseur looks at its case (article 10).
fn question() -> Option<Question> {
    Some(Question {
        action: Action::Receive,
        article: Article::new(10)?,
        purpose: Purpose::Aanmelding,
        actor: Actor::participant(OrgKind::Gemeente, Role::R02),
        other: None,
        case: Some(CaseFacts::in_phase(Phase::F1, OrgKind::Gemeente)),
        item: Some(Item {
            category: Category::C01,
            form: Form::I,
            source: Kind::Facility,
            consent: ConsentState::Missing,
            explicit_consent: ConsentState::Missing,
            expired: false,
        }),
        recipients: 1,
        reason_given: false,
    })
}

/// The event of that look.
fn event() -> Event {
    Event {
        draft: Draft {
            method: "sluis.v1.Cases/GetCase",
            action: Some(Crude::Read),
            organisation: "00000099100001410000".to_owned(),
            user_ref: "meting.medewerker".to_owned(),
            role: Some(Role::R02),
            purpose: "aanmelding".to_owned(),
            article: Article::new(10),
            case_id: Some("0e4ab3f2-8d8c-4a55-9fd9-1d3f4d6f0a11".to_owned()),
            categories: vec![Category::C01],
            key_hash: "ab".repeat(32),
            ..Draft::default()
        },
        verdict: Verdict { outcome: Outcome::Allowed, clauses: vec!["10.a".to_owned()], covenant_version: 1 },
        stamp: Stamp {
            event_id: "01900000-0000-7000-8000-000000000001".to_owned(),
            at: 1_780_000_000_000_000,
            node: "hub-1".to_owned(),
            salts: [[9; 16]; SALTS],
        },
    }
}

/// The reply to it.
fn case() -> v1::Case {
    let assignment = v1::Assignment {
        name: "cases/0e4ab3f2-8d8c-4a55-9fd9-1d3f4d6f0a11/assignments/5b1f4a7e-56d4-4c3e-9d3c-0f6a2b7c8d9e".to_owned(),
        role: v1::Role::R02 as i32,
        partner: "partners/00000099100001410000".to_owned(),
        start_time: Some(prost_types::Timestamp { seconds: 1_780_000_000, nanos: 1 }),
        ..v1::Assignment::default()
    };
    v1::Case {
        name: "cases/0e4ab3f2-8d8c-4a55-9fd9-1d3f4d6f0a11".to_owned(),
        phase: v1::Phase::F1 as i32,
        create_time: assignment.start_time,
        phase_time: assignment.start_time,
        own_assignments: vec![v1::Assignment { role: v1::Role::R01 as i32, ..assignment.clone() }, assignment],
        subject_pseudonym: "A".repeat(32),
        etag: "0123456789abcdef".to_owned(),
        ..v1::Case::default()
    }
}
