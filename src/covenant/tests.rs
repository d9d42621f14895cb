//! Golden decisions, determinism, and properties over random questions.

use std::sync::OnceLock;

use cedar_policy::PolicySet;
use proptest::prelude::*;

use super::Covenant;
use super::facts::{Action, Actor, CaseFacts, ConsentState, Item, Kind, Purpose, Question, Standing};
use super::file::embedded_files;
use crate::party::{Article, Category, ExternalKind, Form, Measure, OrgKind, PartnerStatus, Phase, Role};

mod golden;

fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => any_of(OrgKind::ALL).prop_map(Kind::Partner),
        1 => any_of(ExternalKind::ALL).prop_map(Kind::External),
    ]
}

fn actors() -> impl Strategy<Value = Actor> {
    let status = prop_oneof![6 => Just(PartnerStatus::Active), 1 => any_of(PartnerStatus::ALL)];
    let standing = prop_oneof![4 => Just(Standing::Participant), 1 => any_of(Standing::ALL)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (kinds(), status, prop::bool::weighted(0.9), prop::option::weighted(0.9, any_of(Role::ALL)), standing, flags)
        .prop_map(|(kind, status, accepted, role, standing, (involved, invited, chosen, executes_measure))| Actor {
            kind,
            status,
            accepted,
            role,
            standing,
            involved,
            invited,
            chosen,
            executes_measure,
        })
}

fn cases() -> impl Strategy<Value = CaseFacts> {
    let phase = any_of(Phase::ALL).prop_filter("FE is no resting phase", |p| *p != Phase::FE);
    let measures = prop::sample::subsequence(Measure::ALL, 0..=3);
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1), any::<bool>(), any::<bool>());
    (phase, measures, flags, any_of(OrgKind::ALL)).prop_map(
        |(phase, measures, (escalated, restricted, objection, choice_made, near_adulthood), holder)| CaseFacts {
            phase,
            escalated,
            measures,
            restricted,
            objection,
            choice_made,
            near_adulthood,
            holder,
        },
    )
}

fn items() -> impl Strategy<Value = Item> {
    let consent = || any_of(ConsentState::ALL);
    let source = prop_oneof![4 => kinds(), 1 => Just(Kind::Facility)];
    (any_of(Category::ALL), any_of(Form::ALL), source, consent(), consent(), prop::bool::weighted(0.1)).prop_map(
        |(category, form, source, consent, explicit_consent, expired)| Item {
            category,
            form,
            source,
            consent,
            explicit_consent,
            expired,
        },
    )
}

/// Questions with the article's own purpose, mostly, so that many get far.
fn questions() -> impl Strategy<Value = Question> {
    let action = prop_oneof![
        4 => Just(Action::Receive),
        4 => Just(Action::Send),
        2 => any_of(Action::ALL),
    ];
    let article = (1..=40u8).prop_map(|n| Article::new(n).unwrap());
    let parties = (actors(), prop::option::weighted(0.9, actors()), prop::option::weighted(0.9, cases()), items());
    let purpose = prop::option::weighted(0.1, any_of(Purpose::ALL));
    (action, article, purpose, parties, 1..8u32, prop::bool::weighted(0.8)).prop_map(
        |(action, article, purpose, (actor, other, case, item), recipients, reason_given)| Question {
            action,
            article,
            purpose: purpose.unwrap_or_else(|| own_purpose(article)),
            actor,
            other,
            case,
            item: action.is_exchange().then_some(item),
            recipients,
            reason_given,
        },
    )
}

fn own_purpose(article: Article) -> Purpose {
    covenant().purpose(article).unwrap_or(Purpose::Beheer)
}

fn covenant() -> &'static Covenant {
    static COVENANT: std::sync::OnceLock<Covenant> = std::sync::OnceLock::new();
    COVENANT.get_or_init(|| Covenant::embedded().unwrap())
}

fn matching(covenant: &Covenant, question: &Question, policies: &PolicySet) -> Vec<String> {
    let asked = covenant.engine.ask(question).unwrap();
    covenant.engine.answer(&asked, policies).unwrap().determining
}

/// The invariants of one kind, apart.
/// The covenant with one clause of article 22 nine hundred times more.
fn long() -> &'static Covenant {
    static LONG: OnceLock<Covenant> = OnceLock::new();
    LONG.get_or_init(|| {
        let mut files = embedded_files();
        let article = files.get_mut("articles/22-financiering.cedar").unwrap();
        let (_, clause) = article.split_once("@clause").unwrap();
        let clause = format!("\n@clause{}", clause.split_inclusive(';').next().unwrap());
        for number in 0..900 {
            let id: String =
                [number / 26 / 26, number / 26 % 26, number % 26].map(|n| char::from(b'a' + n as u8)).iter().collect();
            article.push_str(&clause.replace("\"22.a\"", &format!("\"22.z{id}\"")));
        }
        Covenant::load(files).unwrap()
    })
}

fn clauses(permit: &super::Permit) -> Vec<String> {
    permit.clauses().map(ToOwned::to_owned).collect()
}

fn promises(covenant: &Covenant, kind: &str) -> PolicySet {
    let mut set = PolicySet::new();
    for policy in covenant.invariants().policies().filter(|p| p.annotation("kind") == Some(kind)) {
        set.add(policy.clone()).unwrap();
    }
    set
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn index_and_whole_set_agree(question in questions()) {
        let covenant = covenant();
        let asked = covenant.engine.ask(&question).unwrap();
        let part = covenant.engine.answer(&asked, covenant.index.slice(&question)).unwrap();
        let whole = covenant.engine.answer(&asked, covenant.index.whole()).unwrap();
        prop_assert_eq!((part.allow, part.determining), (whole.allow, whole.determining));
    }

    /// What a decision costs does not grow with the covenant: Cedar is given no clause more, and answers the same.
    #[test]
    fn a_covenant_of_a_thousand_clauses_asks_no_more_of_them(question in questions().prop_filter("another article",
        |question| question.article.number() != 22))
    {
        let (covenant, long) = (covenant(), long());
        prop_assert!(long.index.whole().policies().count() > 1_000);
        let part = |covenant: &Covenant| covenant.index.slice(&question).policies().count();
        prop_assert_eq!(part(covenant), part(long));
        prop_assert_eq!(covenant.evaluate(&question).map_err(|d| d.reason).map(|p| clauses(&p)),
            long.evaluate(&question).map_err(|d| d.reason).map(|p| clauses(&p)));
    }

    #[test]
    fn decisions_are_deterministic_and_explained(question in questions()) {
        let covenant = covenant();
        let first = covenant.evaluate(&question);
        // What is remembered is what was decided.
        prop_assert_eq!(&first, &covenant.decide(&question));
        prop_assert_eq!(&first, &covenant.decide(&question));
        let explanation = covenant.explain(&question);
        prop_assert_eq!(explanation.allowed, first.is_ok());
        prop_assert_eq!(explanation.reason, first.as_ref().err().map(|d| d.reason));
        prop_assert!(first.err().is_none_or(|denial| !denial.fault));
    }

    #[test]
    fn promises_are_kept(question in questions()) {
        let covenant = covenant();
        let allowed = covenant.decide(&question).is_ok();
        let broken = matching(covenant, &question, &promises(covenant, "never"));
        prop_assert!(!allowed || broken.is_empty(), "allowed in spite of {broken:?}");
        let owed = matching(covenant, &question, &promises(covenant, "always"));
        prop_assert!(allowed || owed.is_empty(), "refused in spite of {owed:?}");
    }
}

#[test]
fn malformed_questions_are_faults() {
    let covenant = covenant();
    let good = golden::question(
        "action = 'receive'\narticle = 12\nactor = { role = 'R03', kind = 'netwerk' }\nitem = { category = 'C01', form = 'P' }\ncase = { phase = 'F2' }",
    );
    assert!(covenant.decide(&good).is_ok());
    let in_fe = Question { case: Some(CaseFacts::in_phase(Phase::FE, OrgKind::Gemeente)), ..good.clone() };
    let no_item = Question { item: None, ..good.clone() };
    let item_for_management = Question { action: Action::AssignRole, ..good.clone() };
    let facility_asks = Question { actor: Actor { kind: Kind::Facility, ..good.actor }, ..good };
    for question in [in_fe, no_item, item_for_management, facility_asks] {
        assert!(covenant.decide(&question).is_err_and(|denial| denial.fault), "{question:?}");
    }
}

/// Random questions seldom meet the promises that something is always allowed: this one does. Whoever holds no role now
/// is owed nothing and gets nothing, whatever it held before.
#[test]
fn emergency_access_is_owed_to_a_participant_only() {
    let question = golden::question(
        "action = 'receive'\narticle = 30\nreason = true\nactor = { role = 'R12', kind = 'aanbieder' }\n\
         item = { category = 'C11', form = 'I', source = 'gemeente' }\ncase = { phase = 'F4', restricted = true }",
    );
    let covenant = covenant();
    assert_eq!(matching(covenant, &question, &promises(covenant, "always")), ["J1"]);
    assert!(covenant.decide(&question).is_ok());
    for standing in [Standing::None, Standing::Expired, Standing::Office, Standing::Third] {
        let question = Question { actor: Actor { standing, ..question.actor }, ..question.clone() };
        assert!(covenant.decide(&question).is_err(), "{standing:?}");
        assert!(matching(covenant, &question, &promises(covenant, "always")).is_empty(), "{standing:?}");
    }
}

#[test]
fn limits_in_clauses_and_parameters_agree() {
    let limits = &covenant().parameters().limits;
    let text = &embedded_files()["articles/19-plaatsingsprofiel.cedar"];
    assert!(text.contains(&format!("context.recipients <= {}", limits.placement_recipients)));
    let text = &embedded_files()["articles/21-overdracht.cedar"];
    assert!(text.contains(&format!("context.recipients <= {}", limits.handover_recipients)));
}

#[test]
fn a_permit_rests_on_consent_where_it_would_be_none_without() {
    use super::ConsentBehind::{Any, Explicit};
    let covenant = covenant();
    let analysis = |direct: &str, consent: &str| {
        golden::question(&format!(
            "action = 'receive'\narticle = 16\nreason = true\nactor = {{ role = 'R07', kind = 'aanbieder'{direct} }}\n\
             other = {{ role = 'R06', kind = 'aanbieder'{direct} }}\ncase = {{ phase = 'F4' }}\n\
             item = {{ category = 'C10', form = 'I', source = 'aanbieder'{consent} }}",
        ))
    };
    let diagnosis = golden::question(
        "action = 'receive'\narticle = 15\nreason = true\nactor = { role = 'R06', kind = 'aanbieder' }\n\
         other = { role = 'R07', kind = 'aanbieder' }\ncase = { phase = 'F4' }\n\
         item = { category = 'C09', form = 'P', source = 'aanbieder', consent = 'complete', explicit = 'complete' }",
    );
    for (question, behind) in [
        (analysis("", ", consent = 'complete'"), Some(Any)),
        (analysis("", ", consent = 'complete', explicit = 'complete'"), Some(Any)),
        (analysis(", involved = true", ", consent = 'complete'"), None),
        (analysis(", involved = true", ""), None),
        (diagnosis, Some(Explicit)),
    ] {
        assert!(covenant.decide(&question).is_ok(), "{question:?}");
        assert_eq!(covenant.consent_behind(&question), behind, "{question:?}");
    }
}

#[test]
fn permits_join() {
    let receive = golden::question(
        "action = 'receive'\narticle = 20\nactor = { kind = 'gemeente' }\nitem = { category = 'C19', form = '-', source = 'aanbieder' }",
    );
    let send = golden::question(
        "action = 'send'\narticle = 20\nactor = { kind = 'aanbieder' }\nother = { kind = 'gemeente' }\nitem = { category = 'C19', form = '-', source = 'aanbieder' }",
    );
    let permit = covenant().decide(&send).unwrap().and(covenant().decide(&receive).unwrap());
    assert_eq!(permit.clauses().collect::<Vec<_>>(), ["20.a", "20.b"]);
    assert!(permit.allows(Action::Send) && permit.allows(Action::Receive) && !permit.allows(Action::Refer));
    assert_eq!(permit.article(), Article::new(20));
}
