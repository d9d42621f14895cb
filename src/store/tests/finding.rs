//! Finding events and emptying them, on every engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::erasure::{Which, erasable, erasures, retained};
use super::super::search::{About, Filter, Line, plan, select};
use super::super::{Store, check};
use super::{Engine, OIN, office, on_every_engine, traces};
use crate::audit::{Draft, Group, Kind};
use crate::ground::Refusal;
use crate::party::{Article, Role};
use crate::reason::Reason;
use crate::store::erasure::Erasing;
use crate::store::{Seen, Tx, Work, WorkError};

on_every_engine!(
    an_officer_finds_what_concerns_its_organisation_and_nothing_else,
    every_condition_narrows,
    pages_follow_each_other_without_gap,
    whom_an_event_concerns_is_looked_up_event_by_event,
    what_was_erased_is_told_with_the_event_that_did_it,
    what_is_erased_is_nowhere_and_the_store_holds_together,
    an_erasure_that_nobody_wrote_down_is_found,
    an_event_that_changed_since_it_was_read_is_not_written_over,
    retention_is_seen_to_in_order,
);

const OTHER: &str = "00000099200000010000";
const THIRD: &str = "00000099300000010000";

pub(super) struct Say(pub(super) Draft);

impl Work for Say {
    type Output = ();
    async fn run(&self, _: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        Ok(((), self.0.clone()))
    }
}

struct Erase(Vec<Erasing>);

impl Work for Erase {
    type Output = ();
    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        tx.erase(&self.0).await?;
        let erases: BTreeMap<_, _> = self.0.iter().map(|one| (one.event_id.clone(), one.places.clone())).collect();
        Ok(((), Draft { method: "sluis.v1.Audit/EraseEvents", erases, ..Draft::default() }))
    }
}

pub(super) fn about(organisation: &str, case: &str) -> Draft {
    Draft {
        method: "sluis.v1.Cases/GetCase",
        organisation: organisation.to_owned(),
        user_ref: "mdw-17".to_owned(),
        role: Some(Role::R02),
        purpose: "triage".to_owned(),
        article: Article::new(12),
        case_id: Some(case.to_owned()).filter(|case| !case.is_empty()),
        ..Draft::default()
    }
}

pub(super) async fn say(store: &Store, draft: Draft) -> String {
    store.run_tx(office(), Say(draft)).await.unwrap().event_id
}

async fn find(store: &Store, filter: Filter) -> Vec<Line> {
    let filter = Filter { limit: if filter.limit == 0 { 100 } else { filter.limit }, ..filter };
    select(&mut store.read().await.unwrap(), &filter).await.unwrap()
}

async fn names(store: &Store, filter: Filter) -> Vec<String> {
    find(store, filter).await.into_iter().map(|line| line.event_id).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn an_officer_finds_what_concerns_its_organisation_and_nothing_else(engine: Engine) {
    let store = engine.open().await.unwrap();
    let own = say(&store, about(OIN, "c1")).await;
    let sent = Draft { recipients: vec![OIN.to_owned(), THIRD.to_owned()], ..about(OTHER, "c1") };
    let sent = say(&store, sent).await;
    let of_own =
        say(&store, Draft { source: OIN.to_owned(), recipients: vec![THIRD.to_owned()], ..about(OTHER, "c1") }).await;
    let foreign = say(&store, about(OTHER, "c2")).await;
    let scope = || Filter { scope: some(OIN), ..Filter::default() };
    assert_eq!(names(&store, scope()).await, [of_own.clone(), sent.clone(), own.clone()], "newest first");
    // By asking for somebody, nobody finds out whom others gave something.
    let with_third = Filter { organisation: some(THIRD), ..scope() };
    assert_eq!(names(&store, with_third.clone()).await, [of_own.as_str()], "of its own data it may know");
    let all = Filter { scope: None, ..with_third };
    assert_eq!(names(&store, all).await, [of_own.clone(), sent.clone()]);
    let with_other = Filter { organisation: some(OTHER), ..scope() };
    assert_eq!(names(&store, with_other).await, [of_own.clone(), sent.clone()]);
    // Nor who works elsewhere.
    let person = Filter { user_ref: some("mdw-17"), ..scope() };
    assert_eq!(names(&store, person.clone()).await, [own.as_str()]);
    assert_eq!(names(&store, Filter { scope: None, ..person }).await.len(), 4);
    // Nor whether somebody else has a case.
    let unknown = store.refuse(&Refusal::denied(Reason::CaseUnknown), about(OIN, ""), Seen::default()).await.unwrap();
    let not_involved =
        store.refuse(&Refusal::denied(Reason::NotInvolved), about(OIN, ""), Seen::default()).await.unwrap();
    let reason = |reason: Reason| Filter { reason: Some(reason.code()), ..scope() };
    assert_eq!(
        names(&store, reason(Reason::NotInvolved)).await,
        [not_involved.event_id.clone(), unknown.event_id.clone()]
    );
    assert!(names(&store, reason(Reason::CaseUnknown)).await.is_empty());
    let whole = Filter { scope: None, ..reason(Reason::CaseUnknown) };
    assert_eq!(names(&store, whole).await, [unknown.event_id]);
    let one = Filter { event_id: some(&foreign), ..scope() };
    assert!(names(&store, one.clone()).await.is_empty());
    assert_eq!(names(&store, Filter { scope: None, ..one }).await, [foreign]);
}

async fn every_condition_narrows(engine: Engine) {
    let store = engine.open().await.unwrap();
    let plain = say(&store, about(OIN, "c1")).await;
    let listed =
        Draft { method: "sluis.v1.Cases/ListCases", listed: vec!["c1".to_owned(), "c2".to_owned()], ..about(OIN, "") };
    let list = say(&store, listed).await;
    let before = Draft { subject: "pseudonym-of-p".to_owned(), ..about(OIN, "") };
    let before = say(&store, before).await;
    let special = Draft {
        emergency: true,
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        source: OTHER.to_owned(),
        role: Some(Role::R12),
        purpose: "spoed".to_owned(),
        article: Article::new(30),
        ..about(THIRD, "c2")
    };
    let special = say(&store, special).await;
    let refused = store.refuse(&Refusal::denied(Reason::PhaseNotAllowed), about(THIRD, "c1"), Seen::default()).await;
    let refused = refused.unwrap().event_id;
    let case = |consulted, listed| About { cases: vec!["c1".to_owned()], subject: None, listed, consulted };
    let subject = About {
        cases: vec!["c1".to_owned(), "c2".to_owned()],
        subject: Some((OIN.to_owned(), "pseudonym-of-p".to_owned())),
        listed: true,
        consulted: true,
    };
    let own = Filter { scope: some(OIN), ..Filter::default() };
    let table: Vec<(&str, Filter, Vec<&String>)> = vec![
        ("a case", Filter { about: Some(case(true, true)), ..Filter::default() }, vec![&refused, &list, &plain]),
        ("consulted", Filter { about: Some(case(true, false)), ..Filter::default() }, vec![&refused, &plain]),
        ("listed", Filter { about: Some(case(false, true)), ..Filter::default() }, vec![&list]),
        (
            "a subject",
            Filter { about: Some(subject.clone()), ..Filter::default() },
            vec![&refused, &special, &before, &list, &plain],
        ),
        ("in scope", Filter { about: Some(subject), ..own.clone() }, vec![&before, &list, &plain]),
        ("nobody", Filter { about: Some(About { consulted: true, ..About::default() }), ..Filter::default() }, vec![]),
        ("requester", Filter { requester: some(THIRD), ..Filter::default() }, vec![&refused, &special]),
        ("source", Filter { source: some(OTHER), ..Filter::default() }, vec![&special]),
        ("role", Filter { role: Some("R12"), ..Filter::default() }, vec![&special]),
        ("purpose", Filter { purpose: some("spoed"), ..Filter::default() }, vec![&special]),
        ("article", Filter { article: Some(30), ..Filter::default() }, vec![&special]),
        ("emergency", Filter { emergency: true, ..Filter::default() }, vec![&special]),
        ("trace", Filter { trace_id: some("4bf92f3577b34da6a3ce929d0e0e4736"), ..Filter::default() }, vec![&special]),
        ("refused", Filter { outcome: Some("refused"), ..Filter::default() }, vec![&refused]),
        ("reason", Filter { reason: Some("PHASE_NOT_ALLOWED"), ..Filter::default() }, vec![&refused]),
        (
            "all at once",
            Filter { source: some(OTHER), emergency: true, outcome: Some("refused"), ..Filter::default() },
            vec![],
        ),
    ];
    for (what, filter, expected) in table {
        assert_eq!(names(&store, filter).await.iter().collect::<Vec<_>>(), expected, "{what}");
    }
    let lines = find(&store, Filter { event_id: some(&list), ..Filter::default() }).await;
    assert_eq!(lines[0].listed, ["c1", "c2"]);
    let at = engine.time_of(&special).await;
    let from = Filter { from: Some(at), ..Filter::default() };
    assert_eq!(names(&store, from).await, [refused, special.clone()]);
    let until = Filter { until: Some(at), scope: some(OIN), ..Filter::default() };
    assert_eq!(names(&store, until).await, [before, list, plain]);
}

async fn pages_follow_each_other_without_gap(engine: Engine) {
    let store = engine.open().await.unwrap();
    for _ in 0..23 {
        say(&store, about(OIN, "c1")).await;
    }
    let all = names(&store, Filter { requester: some(OIN), ..Filter::default() }).await;
    assert_eq!(all.len(), 23);
    for about in [None, Some(About { cases: vec!["c1".to_owned()], consulted: true, listed: true, subject: None })] {
        for scope in [None, some(OIN)] {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let (about, scope, requester) = (about.clone(), scope.clone(), some(OIN));
                let page =
                    find(&store, Filter { about, scope, requester, before, limit: 5, ..Filter::default() }).await;
                let Some(last) = page.last() else { break };
                before = Some((last.at, last.event_id.clone()));
                assert!(page.len() <= 5);
                found.extend(page.into_iter().map(|line| line.event_id));
            }
            assert_eq!(found, all);
        }
    }
}

/// An organisation that half of the log concerns is no reason to read half of the log.
async fn whom_an_event_concerns_is_looked_up_event_by_event(engine: Engine) {
    let store = engine.open().await.unwrap();
    let about = About { cases: vec!["c1".to_owned()], subject: None, listed: true, consulted: true };
    let by_case = Filter { about: Some(about), scope: some(OIN), limit: 5, ..Filter::default() };
    let by_user = Filter { user_ref: some("mdw-17"), scope: some(OIN), limit: 5, ..Filter::default() };
    let mut reader = store.read().await.unwrap();
    for (filter, branches) in [(by_case, 2), (by_user, 1)] {
        let plan = plan(&mut reader, &filter).await.unwrap();
        let looks = plan.matches("(SubPlan").count() + plan.matches("CORRELATED SCALAR SUBQUERY").count();
        assert_eq!(looks, branches, "{plan}");
        // Nor are all events gone through for the page's few.
        assert!(!plan.contains("SCAN x") && !plan.contains("SCAN e\n"), "{plan}");
    }
}

async fn what_was_erased_is_told_with_the_event_that_did_it(engine: Engine) {
    let store = engine.open().await.unwrap();
    let [one, other, whole] = [say(&store, marked()).await, say(&store, marked()).await, say(&store, marked()).await];
    let erase = async |event: &String, groups: &[Group]| {
        let which = Which::Named(vec![event.clone()]);
        let found = erasable(&mut store.read().await.unwrap(), &which, 1).await.unwrap();
        let erasing = found[0].without(groups, None).unwrap().unwrap();
        store.run_tx(office(), Erase(vec![erasing])).await.unwrap().event_id
    };
    let first = erase(&one, &[Group::Data]).await;
    let second = erase(&one, &[Group::Case]).await;
    let third = erase(&other, &[Group::Data]).await;
    let said = async |events: &[&str]| {
        let erased = erasures(&mut store.read().await.unwrap(), events).await.unwrap();
        erased.into_iter().map(|one| (one.event_id, one.by, one.place)).collect::<Vec<_>>()
    };
    // Told by event id; the ids of one millisecond are in no order that is known before.
    let told = |mut all: Vec<(String, String, usize)>| {
        all.sort();
        all
    };
    let of_one = [(one.clone(), first, 3), (one.clone(), second, 2)];
    assert_eq!(said(&[&one]).await, told(of_one.to_vec()));
    let both = of_one.into_iter().chain([(other.clone(), third, 3)]).collect();
    assert_eq!(said(&[&other, &whole, &one]).await, told(both));
    assert_eq!((said(&[&whole]).await, said(&[]).await), (vec![], vec![]));
}

/// All that a subject left in the log.
pub(super) fn marked() -> Draft {
    Draft {
        subject: "merkteken-subject".to_owned(),
        record: "merkteken-record".to_owned(),
        consents: vec!["merkteken-consent".to_owned()],
        motivation: "merkteken-motivation".to_owned(),
        trace_id: "merkteken-trace".to_owned(),
        key_hash: "merkteken-key".to_owned(),
        user_ref: "merkteken-user".to_owned(),
        recipients: vec![THIRD.to_owned()],
        ..about(OIN, "merkteken-case")
    }
}

pub(super) async fn erase(store: &Store, which: &Which, groups: &[Group], listed: Option<&[String]>) -> usize {
    let events = erasable(&mut store.read().await.unwrap(), which, 500).await.unwrap();
    let erasing: Vec<Erasing> = events.iter().filter_map(|event| event.without(groups, listed).unwrap()).collect();
    let count = erasing.len();
    store.run_tx(office(), Erase(erasing)).await.unwrap();
    count
}

async fn what_is_erased_is_nowhere_and_the_store_holds_together(engine: Engine) {
    let store = Arc::new(engine.open().await.unwrap());
    let event = say(&store, marked()).await;
    let listed = Draft {
        method: "sluis.v1.Cases/ListCases",
        listed: vec!["merkteken-case".to_owned(), "c2".to_owned()],
        ..about(OIN, "")
    };
    let list = say(&store, listed).await;
    say(&store, about(OTHER, "c2")).await;
    while store.grow().await.unwrap().more {}
    let of_case = || Which::About { cases: vec!["merkteken-case".to_owned()], subjects: Vec::new() };
    assert_eq!(
        erase(&store, &Which::Named(vec![list.clone()]), &[Group::Listed], Some(&["merkteken-case".to_owned()])).await,
        1
    );
    assert_eq!(erase(&store, &of_case(), &Group::ALL, None).await, 1);
    assert_eq!(erase(&store, &of_case(), &Group::ALL, None).await, 0, "once");
    let line = &find(&store, Filter { event_id: some(&event), ..Filter::default() }).await[0];
    assert_eq!(
        (line.erased.as_str(), line.subject.as_str(), line.case_id.as_ref(), line.user_ref.as_str()),
        ("actor subject case data decision network", "", None, "")
    );
    assert_eq!(
        (line.organisation.as_str(), line.article, line.purpose.as_str()),
        (OIN, 12, "triage"),
        "what is nobody's"
    );
    let scope = Filter { scope: some(THIRD), ..Filter::default() };
    assert!(names(&store, scope).await.is_empty(), "whom it was sent to is erased too");
    let line = &find(&store, Filter { event_id: some(&list), ..Filter::default() }).await[0];
    assert_eq!((line.erased.as_str(), &*line.listed), ("listed", &["c2".to_owned()][..]));
    while store.grow().await.unwrap().more {}
    for table in ["audit_event", "audit_event_party", "audit_event_listed", "audit_outbox"] {
        assert!(!engine.text_of(table).await.contains("merkteken"), "{table}");
    }
    let report = check::check(&engine.access).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    if let Some(folder) = &engine._folder {
        store.rewrite().await.unwrap();
        assert!(store.scrub().await.unwrap());
        assert_eq!(traces::found_in(folder.path(), &["merkteken"]), Vec::new());
    }
}

async fn an_erasure_that_nobody_wrote_down_is_found(engine: Engine) {
    let store = engine.open().await.unwrap();
    let event = say(&store, marked()).await;
    let rules = async || {
        let report = check::check(&engine.access).await.unwrap();
        report.findings.into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert!(rules().await.is_empty());
    let nothing = engine.bytes_of("[]");
    engine.any(format!("UPDATE audit_event SET disclosures = {nothing} WHERE event_id = '{event}'")).await;
    // The columns say what no disclosure says, and nobody wrote down that anything was erased.
    let both = ["what enters the tree is what was written", "what was erased is what an event says"];
    assert_eq!(rules().await, both);
    // An event that is hidden from whom it concerns, with all its disclosures in place.
    let hidden = say(&store, marked()).await;
    engine.any(format!("DELETE FROM audit_event WHERE event_id = '{event}'")).await;
    engine.any(format!("DELETE FROM audit_outbox WHERE event_id = '{event}'")).await;
    assert!(rules().await.is_empty());
    engine.any(format!("UPDATE audit_event SET case_id = NULL WHERE event_id = '{hidden}'")).await;
    assert_eq!(rules().await, both[..1]);
    engine.any(format!("UPDATE audit_event SET case_id = 'merkteken-case' WHERE event_id = '{hidden}'")).await;
    assert!(rules().await.is_empty());
    engine.any(format!("DELETE FROM audit_event_party WHERE event_id = '{hidden}' AND oin = '{THIRD}'")).await;
    assert_eq!(rules().await, both[..1]);
}

/// Two who erase at once do not bring back what the other took.
async fn an_event_that_changed_since_it_was_read_is_not_written_over(engine: Engine) {
    let store = engine.open().await.unwrap();
    let event = say(&store, marked()).await;
    let read = erasable(&mut store.read().await.unwrap(), &Which::Named(vec![event.clone()]), 9).await.unwrap();
    let [actor, subject] =
        [Group::Actor, Group::Subject].map(|group| read[0].without(&[group], None).unwrap().unwrap());
    store.run_tx(office(), Erase(vec![actor])).await.unwrap();
    assert!(matches!(store.run_tx(office(), Erase(vec![subject])).await, Err(crate::store::CommitError::Stale)));
    let line = &find(&store, Filter { event_id: some(&event), ..Filter::default() }).await[0];
    assert_eq!((line.erased.as_str(), line.subject.as_str()), ("actor", "merkteken-subject"));
    assert!(check::check(&engine.access).await.unwrap().findings.is_empty());
}

async fn retention_is_seen_to_in_order(engine: Engine) {
    let store = engine.open().await.unwrap();
    let mut all = Vec::new();
    for nth in 0..5 {
        let method = if nth == 2 { "sluis.v1.Audit/QueryEvents" } else { "sluis.v1.Cases/GetCase" };
        all.push(say(&store, Draft { method, ..marked() }).await);
    }
    let until = engine.time_of(&all[4]).await;
    let mut reader = store.read().await.unwrap();
    assert_eq!(retained(&mut reader, Some(Kind::Casus)).await.unwrap(), (i64::MIN, String::new()));
    let which = |after| Which::Between { kind: Some(Kind::Casus), after, until };
    let first = erasable(&mut reader, &which((i64::MIN, String::new())), 2).await.unwrap();
    assert_eq!(first.iter().map(|event| &event.event_id).collect::<Vec<_>>(), [&all[0], &all[1]]);
    let rest = erasable(&mut reader, &which((first[1].at, first[1].event_id.clone())), 9).await.unwrap();
    assert_eq!(
        rest.iter().map(|event| &event.event_id).collect::<Vec<_>>(),
        [&all[3]],
        "of its kind, and before the end"
    );
    let log = Which::Between { kind: Some(Kind::Log), after: (i64::MIN, String::new()), until: i64::MAX };
    assert_eq!(erasable(&mut reader, &log, 9).await.unwrap()[0].event_id, all[2]);
    let every = Which::Between { kind: None, after: (i64::MIN, String::new()), until: i64::MAX };
    assert_eq!(erasable(&mut reader, &every, 99).await.unwrap().len(), 6, "and the start");
    // Every method's events are of one kind: nothing stays for ever, and nothing ends by another's term.
    for row in crate::method::METHODS {
        say(&store, Draft { method: row.name, ..marked() }).await;
    }
    let (mut counted, start) = (0, (i64::MIN, String::new()));
    for kind in Kind::ALL {
        let which = Which::Between { kind: Some(kind), after: start.clone(), until: i64::MAX };
        let events = erasable(&mut reader, &which, 999).await.unwrap();
        assert!(events.iter().all(|event| Kind::of(&event.method) == kind), "{}", kind.code());
        counted += events.len();
    }
    assert_eq!(counted, 6 + crate::method::METHODS.len());
}
