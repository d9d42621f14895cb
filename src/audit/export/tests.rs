//! An event with every field filled, for the tests of bundles and of formats.

mod bundles;
mod formats;

use super::Line;
use crate::api::v1;
use crate::audit::{Action, Draft, Event, Outcome, SALTS, Stamp, Verdict};
use crate::party::{Article, Category, Form, Role};
use crate::reason::Reason;

const OIN: &str = "00000099300000020000";
const SUPPLIER: &str = "00000099900000010000";
const OTHER: &str = "00000099300000030000";

/// Every field filled.
pub(super) fn full() -> Line {
    Line::from(&line(1, &event(1)))
}

fn uuid(number: u64) -> String {
    format!("0199a0b0-c0d0-7000-8000-{number:012x}")
}

fn event(number: u64) -> Event {
    Event {
        draft: Draft {
            method: "sluis.v1.Records/FetchRecord",
            action: Some(Action::Read),
            organisation: OIN.into(),
            via: SUPPLIER.into(),
            source: OTHER.into(),
            user_ref: format!("mdw-{number}"),
            role: Some(Role::R05),
            purpose: "advies".into(),
            article: Article::new(13),
            case_id: Some("hub-case".into()),
            subject: "pseudonym-of-youth".into(),
            categories: vec![Category::C06, Category::C09],
            form: Some(Form::P),
            recipients: vec![OIN.into(), OTHER.into()],
            record: "0199a0b0-c0d0-7000-8000-00000000aaaa".into(),
            consents: vec!["consent-7".into()],
            emergency: true,
            motivation: "=gevaar, \"acuut\"".into(),
            key_hash: "ab".repeat(32),
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            ..Draft::default()
        },
        verdict: Verdict {
            outcome: Outcome::Refused(Reason::ConsentMissing),
            clauses: vec!["13.a".into(), "30.b".into()],
            covenant_version: 2,
        },
        stamp: Stamp {
            event_id: uuid(number),
            at: 1_800_000_000_000_000 + i64::try_from(number).unwrap(),
            node: "node-1".into(),
            salts: [[u8::try_from(number % 256).unwrap(); 16]; SALTS],
        },
    }
}

/// As the organisation's own officer sees it.
fn line(number: u64, event: &Event) -> v1::Event {
    let Event { draft, verdict, stamp } = event;
    let partner = |oin: &String| format!("partners/{oin}");
    let nanos = i32::try_from(stamp.at % 1_000_000).unwrap() * 1000;
    v1::Event {
        name: format!("events/{}", stamp.event_id),
        time: Some(prost_types::Timestamp { seconds: stamp.at / 1_000_000, nanos }),
        method: draft.method.into(),
        action: draft.action.unwrap().code().into(),
        outcome: v1::Outcome::Refused.into(),
        reason: verdict.outcome.reason().into(),
        organisation: partner(&draft.organisation),
        user_ref: draft.user_ref.clone(),
        role: v1::Role::R05.into(),
        purpose: draft.purpose.clone(),
        article: "13".into(),
        covenant_version: verdict.covenant_version,
        clauses: verdict.clauses.clone(),
        case: format!("cases/own-{number}"),
        subject: draft.subject.clone(),
        categories: vec![v1::Category::C06.into(), v1::Category::C09.into()],
        form: v1::Form::P.into(),
        recipients: draft.recipients.iter().map(partner).collect(),
        record: format!("records/{}", draft.record),
        consents: draft.consents.clone(),
        emergency: draft.emergency,
        motivation: draft.motivation.clone(),
        key_hash: draft.key_hash.clone(),
        node: stamp.node.clone(),
        trace_id: draft.trace_id.clone(),
        source: partner(&draft.source),
        erased: vec!["listed".into()],
        listed: vec!["cases/listed-1".into(), "cases/listed-2".into()],
        via: draft.via.clone(),
    }
}
