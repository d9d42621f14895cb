//! Decisions per second of the covenant on one thread: `cargo bench --bench decide`. First as Cedar evaluates them, then as
//! they are remembered: a network asks some hundreds of different questions, again and again.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use sluis::covenant::Covenant;
use sluis::covenant::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Purpose, Question};
use sluis::party::{Article, Category, Form, OrgKind, Phase, Role};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let covenant = Covenant::embedded()?;
    let allowed = question().ok_or("article 13 exists")?;
    let refused =
        Question { item: allowed.item.map(|item| Item { category: Category::C09, ..item }), ..allowed.clone() };
    let mut out = std::io::stdout();
    for (name, question, expected) in [("permit", &allowed, true), ("denial", &refused, false)] {
        if covenant.decide(question).is_ok() != expected {
            return Err("the bench asks something else than it says".into());
        }
        for (how, remembered) in [("evaluated", false), ("remembered", true)] {
            let rounds = 5_000_u32;
            let started = Instant::now();
            for _ in 0..rounds {
                let question = black_box(question);
                let _ = black_box(if remembered { covenant.decide(question) } else { covenant.evaluate(question) });
            }
            let each = started.elapsed() / rounds;
            writeln!(out, "{name}, {how}: {each:?} each, {:.0} per second", 1.0 / each.as_secs_f64())?;
        }
    }
    Ok(())
}

/// An expert reads the youth's own words at the table (article 13).
fn question() -> Option<Question> {
    let expert = Actor { invited: true, ..Actor::participant(OrgKind::Aanbieder, Role::R05) };
    Some(Question {
        action: Action::Receive,
        article: Article::new(13)?,
        purpose: Purpose::Advies,
        actor: expert,
        other: Some(Actor::participant(OrgKind::Gemeente, Role::R02)),
        case: Some(CaseFacts::in_phase(Phase::F3, OrgKind::Gemeente)),
        item: Some(Item {
            category: Category::C06,
            form: Form::P,
            source: Kind::Partner(OrgKind::Gemeente),
            consent: ConsentState::Missing,
            explicit_consent: ConsentState::Missing,
            expired: false,
        }),
        recipients: 1,
        reason_given: true,
    })
}
