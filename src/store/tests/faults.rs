//! Every step of every kind of commit fails, before it reached the database and after; then the whole store is looked at by
//! its rows alone.

use super::super::check::check;
use super::super::record::{RecipientRow, RecordRow};
use super::super::{case, consent, *};
use super::proxy::{Cut, Proxy};
use super::{Engine, OIN, item, key, office};
use crate::case::{Assignment, CaseFile, ConsentOnFile, Party};
use crate::clock::from_micros;
use crate::covenant::consent::{AgeBand, Given, Giver, Regime, Scope};
use crate::party::{Phase, Role};
use crate::store::request::Remembered;

/// A commit of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refusal,
    Read,
    Acknowledge,
    Register,
    Open,
    Change,
    Publish,
}

const KINDS: [Kind; 7] =
    [Kind::Refusal, Kind::Read, Kind::Acknowledge, Kind::Register, Kind::Open, Kind::Change, Kind::Publish];

/// One of them, under a name of its own.
#[derive(Debug, Clone)]
struct Act {
    kind: Kind,
    name: String,
    /// The case that it changes.
    case: (String, i64),
}

impl Act {
    fn new(kind: Kind, case: &(String, i64)) -> Self {
        Self { kind, name: uuid::Uuid::new_v4().to_string(), case: case.clone() }
    }

    fn draft(&self, method: &'static str, action: crate::audit::Action) -> Draft {
        let mut draft = Draft { method, action: Some(action), organisation: OIN.to_owned(), ..Draft::default() };
        draft.motivation.clone_from(&self.name);
        draft
    }
}

impl Work for Act {
    type Output = ();

    fn seen(&self) -> Seen {
        let changes = match self.kind {
            Kind::Refusal | Kind::Read | Kind::Acknowledge | Kind::Publish => Changes::Nothing,
            Kind::Register => Changes::Registry,
            Kind::Open => Changes::Subject(self.name.as_bytes().to_vec()),
            Kind::Change => Changes::Case,
        };
        let case = matches!(self.kind, Kind::Read | Kind::Change | Kind::Publish).then(|| self.case.clone());
        Seen { registry: None, case, changes, request: Some(key(OIN, &self.name, 0)) }
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<((), Draft), WorkError> {
        use crate::audit::Action::{Create, Read, Update};
        let mut draft = match self.kind {
            Kind::Refusal | Kind::Read => self.draft("sluis.v1.Cases/GetCase", Read),
            Kind::Acknowledge => {
                inbox::push(tx, item(OIN));
                inbox::acknowledge(tx, OIN, 1);
                self.draft("sluis.v1.Inbox/AcknowledgeInbox", Update)
            }
            Kind::Register => {
                registry::touch(tx).await?;
                self.draft("sluis.v1.Registry/RegisterPartner", Create)
            }
            Kind::Open => {
                case::insert(tx, &opened(&self.name)).await?;
                let draft = self.draft("sluis.v1.Cases/ReferCase", Create);
                Draft { case_id: Some(self.name.clone()), ..draft }
            }
            Kind::Change => {
                let case = opened(&self.case.0);
                consent::insert(tx, &case.id, &given(&self.name)).await?;
                case::save(tx, &case).await?;
                inbox::push(tx, item(OIN));
                let draft = self.draft("sluis.v1.Consents/RecordConsent", Create);
                Draft { case_id: Some(case.id), ..draft }
            }
            Kind::Publish => {
                publish(tx, &self.name).await?;
                let draft = self.draft("sluis.v1.Records/PublishRecord", Create);
                Draft { record: self.name.clone(), ..draft }
            }
        };
        draft.user_ref = "m-1".to_owned();
        let reply = Remembered {
            method: draft.method.to_owned(),
            body_hash: vec![1],
            reply: vec![2],
            event_id: tx.event_id().to_owned(),
        };
        tx.remember(key(OIN, &self.name, 0), reply, 1);
        Ok(((), draft))
    }
}

fn opened(id: &str) -> CaseFile {
    let at = from_micros(1);
    let regime = Regime {
        band: AgeBand::Under12,
        capable: true,
        youth_alone: false,
        represented: false,
        authority: [Giver::Parent1].into(),
    };
    let assignment = Assignment {
        id: uuid::Uuid::new_v4().to_string(),
        role: Role::R02,
        party: Party::Partner(OIN.parse().unwrap()),
        involved: false,
        starts_at: at,
        ends_at: None,
        ended_at: None,
    };
    CaseFile {
        id: id.to_owned(),
        rev: 1,
        subject_tag: id.as_bytes().to_vec(),
        tag_epoch: 1,
        phase: Phase::F1,
        phase_at: at,
        table_at: None,
        created_at: at,
        closed_at: None,
        escalated: false,
        restricted: false,
        objection: false,
        chosen: None,
        regime,
        regime_until: None,
        names: [(OIN.parse().unwrap(), uuid::Uuid::new_v4().to_string())].into(),
        assignments: vec![assignment],
        measures: Vec::new(),
        consents: Vec::new(),
    }
}

fn given(id: &str) -> ConsentOnFile {
    let given = Given {
        giver: Giver::Parent1,
        regime: opened(id).regime,
        scope: Scope::default(),
        explicit: false,
        given_at: from_micros(1),
        valid_until: from_micros(2),
        withdrawn_at: None,
    };
    ConsentOnFile { id: id.to_owned(), text_version: "1".to_owned(), given }
}

async fn publish(tx: &mut Tx<'_>, id: &str) -> Result<(), WorkError> {
    let row = RecordRow {
        record_id: id.to_owned(),
        case_id: None,
        category: "C05".to_owned(),
        form: "I".to_owned(),
        article: 20,
        purpose: "triage".to_owned(),
        author_oin: OIN.to_owned(),
        author_role: "R02".to_owned(),
        source_external: None,
        schema: "sluis/tekst/v1".to_owned(),
        roles: String::new(),
        named: false,
        header: vec![1],
        signature: vec![2],
        size: 6,
        created_at: 1,
        expires_at: None,
    };
    record::insert(tx, &row).await?;
    for seq in 0..2 {
        record::insert_chunk(tx, id, seq, &[0; 3]).await?;
    }
    for oin in [OIN, "00000099100001420000", "00000099300000010000"] {
        let (role, clauses) = ("R02".to_owned(), "20.a".to_owned());
        let recipient = RecipientRow { oin: oin.to_owned(), role, external_kind: String::new(), clauses };
        record::insert_recipient(tx, id, &recipient, 1);
        record::insert_key(tx, id, oin, &[3; 8]);
        inbox::push(tx, inbox::NewItem { record_id: Some(id.to_owned()), ..item(oin) });
    }
    Ok(())
}

/// How often an act took effect: its event, its remembered reply.
async fn taken(engine: &Engine, act: &Act) -> (i64, i64) {
    let mut conn = engine.beside().await;
    let events = sqlx::query("SELECT COUNT(*) FROM audit_event WHERE motivation = $1").bind(&act.name);
    let events = sqlx::Row::get(&events.fetch_one(&mut conn).await.unwrap(), 0);
    let replies = sqlx::query("SELECT COUNT(*) FROM request WHERE request_id = $1").bind(&act.name);
    (events, sqlx::Row::get(&replies.fetch_one(&mut conn).await.unwrap(), 0))
}

async fn perform(store: &Store, act: &Act) -> Result<(), CommitError> {
    if act.kind == Kind::Refusal {
        let draft =
            Draft { motivation: act.name.clone(), ..act.draft("sluis.v1.Cases/GetCase", crate::audit::Action::Read) };
        let refusal = Refusal::denied(crate::reason::Reason::NotInvolved);
        return store.refuse(&refusal, draft, Seen::default()).await.map(drop);
    }
    store.run_tx(office(), act.clone()).await.map(drop)
}

async fn holds_together(engine: &Engine) {
    let report = check(&engine.owner).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

/// The case that changes are made in, with its revision now.
async fn a_case(store: &Store) -> (String, i64) {
    let act = Act::new(Kind::Open, &(String::new(), 0));
    perform(store, &act).await.unwrap();
    (act.name, 1)
}

async fn revision(store: &Store, case: &mut (String, i64)) {
    case.1 = case::load(&mut store.read().await.unwrap(), &case.0).await.unwrap().unwrap().rev;
}

/// A store behind a wire that can break.
async fn behind_a_wire() -> (Engine, Engine, Proxy) {
    let direct = Engine::postgres();
    let proxy = Proxy::to(super::cluster().port()).await;
    let moved = |access: &Access| access.through(proxy.port);
    let wired = Engine { access: moved(&direct.access), owner: direct.owner.clone(), _folder: None };
    (direct, wired, proxy)
}

/// A commit that came through uncut so often has no further step. Once is not enough: the clocks are compared now and then,
/// and a cut may hit that.
const WHOLE: usize = 3;

/// A wire that breaks once, at whatever step: the caller notices nothing, and nothing happens twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_at_any_step_is_made_good() {
    let (direct, wired, proxy) = behind_a_wire().await;
    let store = wired.open().await.unwrap();
    let mut case = a_case(&store).await;
    let mut cuts = 0;
    for kind in KINDS {
        for cut in [Cut::Before as fn(usize) -> Cut, Cut::After] {
            let (mut step, mut whole) = (1, 0);
            while whole < WHOLE {
                revision(&store, &mut case).await;
                let act = Act::new(kind, &case);
                proxy.arm(cut(step), false).await;
                let outcome = perform(&store, &act).await;
                let was_cut = proxy.mend();
                assert!(outcome.is_ok(), "{kind:?} {:?}: {outcome:?}", cut(step));
                let replies = i64::from(kind != Kind::Refusal);
                assert_eq!(taken(&direct, &act).await, (1, replies), "{kind:?} {:?}", cut(step));
                if !was_cut {
                    whole += 1;
                    continue;
                }
                (step, whole) = (step + 1, 0);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 60, "only {cuts} steps were cut");
    holds_together(&direct).await;
}

/// A wire that breaks and stays broken: whoever is told of a failure can repeat, and it is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_lost_at_any_step_loses_and_doubles_nothing() {
    let (direct, wired, proxy) = behind_a_wire().await;
    let store = wired.open().await.unwrap();
    let mut case = a_case(&store).await;
    let (mut happened, mut not) = (0, 0);
    for kind in [Kind::Change, Kind::Publish, Kind::Read] {
        for cut in [Cut::Before as fn(usize) -> Cut, Cut::After] {
            let (mut step, mut whole) = (1, 0);
            while whole < WHOLE {
                revision(&store, &mut case).await;
                let act = Act::new(kind, &case);
                proxy.arm(cut(step), true).await;
                let outcome = perform(&store, &act).await;
                let was_cut = proxy.mend();
                assert!(was_cut || outcome.is_ok(), "{kind:?} {:?}: {outcome:?}", cut(step));
                let (events, replies) = taken(&direct, &act).await;
                assert_eq!(events, replies, "{kind:?} {:?}: half done", cut(step));
                if outcome.is_ok() {
                    // Uncut; or the cut hit the comparison of the clocks, and this step has its turn again.
                    assert_eq!(events, 1, "{kind:?} {:?}", cut(step));
                    whole += usize::from(!was_cut);
                    continue;
                }
                (step, whole) = (step + 1, 0);
                if events == 1 {
                    happened += 1
                } else {
                    not += 1
                }
                // A repeat is told that it has been done, finds its facts moved on by itself, or does it now.
                let again = perform(&store, &act).await;
                let done = matches!(again, Err(CommitError::Repeated | CommitError::Stale));
                assert!(if events == 1 { done } else { again.is_ok() }, "{kind:?} {:?}: {again:?}", cut(step));
                assert_eq!(taken(&direct, &act).await, (1, 1), "{kind:?} {:?}", cut(step));
            }
        }
    }
    assert!(happened >= 3 && not > 20, "{happened} were committed, {not} were not");
    holds_together(&direct).await;
}

/// A statement that fails, at whatever table, and a COMMIT that fails.
async fn a_statement_that_fails_leaves_nothing(engine: Engine) {
    let store = engine.open().await.unwrap();
    let mut case = a_case(&store).await;
    let tables = [
        "audit_event",
        "audit_event_party",
        "audit_outbox",
        "request",
        "case_file",
        "case_name",
        "assignment",
        "consent",
        "record",
        "record_chunk",
        "record_recipient",
        "record_key",
        "inbox_head",
        "inbox_item",
    ];
    let mut failed = 0;
    for table in tables {
        for kind in KINDS {
            engine.forbid(table).await;
            revision(&store, &mut case).await;
            let act = Act::new(kind, &case);
            let outcome = perform(&store, &act).await;
            let (events, replies) = taken(&engine, &act).await;
            assert_eq!(events, i64::from(outcome.is_ok()), "{kind:?} without {table}");
            assert!(replies <= events);
            engine.allow(table).await;
            if outcome.is_err() {
                failed += 1;
                perform(&store, &act).await.unwrap();
            }
        }
    }
    assert!(failed > 35, "only {failed} failed");
    holds_together(&engine).await;
}

super::on_every_engine!(a_statement_that_fails_leaves_nothing);
