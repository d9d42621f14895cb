//! SQL of cases, names, roles, measures. A case is read whole, changed, and saved with its revision.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::engine::Engine;
use super::session::query;
use super::{Reader, StoreError, Tx, Wake, WorkError, consent};
use crate::case::{Assignment, CaseFile, MeasureInForce, Party, knows_youth};
use crate::clock::{from_micros, micros};
use crate::covenant::consent::Regime;
use crate::party::{Oin, Role};
use crate::wire::Numbered as _;

const BAD: StoreError = StoreError::Inconsistent("case_file");

/// The case behind a name, and whose name it is.
pub async fn by_name(reader: &mut Reader, name: &str) -> Result<Option<(String, String)>, StoreError> {
    let row = sqlx::query("SELECT case_id, oin FROM case_name WHERE name = $1")
        .bind(name)
        .fetch_optional(reader.conn().await?)
        .await?;
    Ok(row.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?)
}

/// Cases about a subject, newest first, and whether the organisation has a name for each.
pub async fn by_tag(reader: &mut Reader, tag: &[u8], oin: &str) -> Result<Vec<(String, bool)>, StoreError> {
    let rows = sqlx::query(
        "SELECT c.case_id, (SELECT COUNT(*) FROM case_name n WHERE n.case_id = c.case_id AND n.oin = $2) AS mine \
         FROM case_file c WHERE c.subject_tag = $1 ORDER BY c.created_at DESC, c.case_id",
    )
    .bind(tag)
    .bind(oin)
    .fetch_all(reader.conn().await?)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? > 0))).collect()
}

/// Case, key epoch and tag of every case that the organisation has a name for, newest first.
///
/// They come as one value: an organisation may have a thousand cases, and a row is a journey through the driver.
pub async fn tags_of(reader: &mut Reader, oin: &str) -> Result<Vec<(String, u32, Vec<u8>)>, StoreError> {
    let all = match reader.engine {
        Engine::Sqlite => {
            "GROUP_CONCAT(c.created_at || ' ' || c.case_id || ' ' || c.tag_epoch || ' ' || HEX(c.subject_tag))"
        }
        Engine::Postgres => {
            "STRING_AGG(c.created_at || ' ' || c.case_id || ' ' || c.tag_epoch || ' ' || ENCODE(c.subject_tag, 'hex'), ',')"
        }
    };
    let text = format!("SELECT {all} FROM case_name n JOIN case_file c ON c.case_id = n.case_id WHERE n.oin = $1");
    let row = sqlx::query(AssertSqlSafe(text)).bind(oin).fetch_one(reader.conn().await?).await?;
    let text: Option<String> = row.try_get(0)?;
    let mut tags = text.as_deref().map_or_else(|| Some(Vec::new()), tags).ok_or(BAD)?;
    tags.sort_unstable_by(|(at, case_id, ..), (other, other_id, ..)| (other, case_id).cmp(&(at, other_id)));
    Ok(tags.into_iter().map(|(_, case_id, epoch, tag)| (case_id, epoch, tag)).collect())
}

type Tagged = (i64, String, u32, Vec<u8>);

/// Reads what [`tags_of`] puts together, with the moment of the case's referral.
fn tags(text: &str) -> Option<Vec<Tagged>> {
    let read = |one: &str| {
        let mut parts = one.split(' ');
        let (at, case_id) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
        let (epoch, tag) = (parts.next()?.parse().ok()?, hex::decode(parts.next()?).ok()?);
        Some((at, case_id, epoch, tag))
    };
    text.split(',').map(read).collect()
}

/// Cases that the organisation has a name for, in the order of the names, after one of them.
pub async fn names(
    reader: &mut Reader,
    oin: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows = sqlx::query("SELECT case_id, name FROM case_name WHERE oin = $1 AND name > $2 ORDER BY name LIMIT $3")
        .bind(oin)
        .bind(after)
        .bind(limit)
        .fetch_all(reader.conn().await?)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What an organisation calls a case, and what it may learn of whose it is.
pub struct Label {
    /// The hub's own id of the case.
    pub case_id: String,
    /// The organisation's.
    pub name: String,
    /// Key epoch of the subject's tag.
    pub epoch: u32,
    /// The subject's.
    pub tag: Vec<u8>,
    /// Roles that the organisation has or had in it.
    pub roles: Vec<Role>,
    /// The provider that was chosen.
    pub chosen: bool,
}

impl Label {
    /// As [`CaseFile::knows_youth`].
    pub fn knows_youth(&self) -> bool {
        self.roles.iter().any(|role| knows_youth(*role, self.chosen))
    }
}

/// What an organisation calls some cases; those that it has no name for are left out.
pub async fn labels(reader: &mut Reader, cases: &BTreeSet<String>, oin: &str) -> Result<Vec<Label>, StoreError> {
    let mut found: BTreeMap<String, Label> = BTreeMap::new();
    // One statement's values are limited; most pages name few cases.
    for some in cases.iter().collect::<Vec<_>>().chunks(500) {
        let places: Vec<String> = (2..2 + some.len()).map(|place| format!("${place}")).collect();
        let text = format!(
            "SELECT n.case_id, n.name, c.tag_epoch, c.subject_tag, a.role, c.chosen_oin FROM case_name n \
             JOIN case_file c ON c.case_id = n.case_id \
             LEFT JOIN assignment a ON a.case_id = n.case_id AND a.oin = n.oin \
             WHERE n.oin = $1 AND n.case_id IN ({})",
            places.join(",")
        );
        let query = sqlx::query(AssertSqlSafe(text)).bind(oin);
        let query = some.iter().fold(query, |query, case_id| query.bind(case_id.as_str()));
        for row in query.fetch_all(reader.conn().await?).await? {
            let label = label(&row, oin)?;
            match found.get_mut(&label.case_id) {
                Some(known) => known.roles.extend(label.roles),
                None => drop(found.insert(label.case_id.clone(), label)),
            }
        }
    }
    Ok(found.into_values().collect())
}

/// With the one role that the row has.
fn label(row: &AnyRow, oin: &str) -> Result<Label, StoreError> {
    let role: Option<String> = row.try_get(4)?;
    let chosen: Option<String> = row.try_get(5)?;
    Ok(Label {
        case_id: row.try_get(0)?,
        name: row.try_get(1)?,
        epoch: u32::try_from(row.try_get::<i64, _>(2)?).map_err(|_| BAD)?,
        tag: row.try_get(3)?,
        roles: role.map(|role| role.parse().map_err(|_| BAD)).transpose()?.into_iter().collect(),
        chosen: chosen.as_deref() == Some(oin),
    })
}

/// Reads a case whole. Its revision is read first: a change in between makes the picture look older, never newer.
pub async fn load(reader: &mut Reader, case_id: &str) -> Result<Option<CaseFile>, StoreError> {
    let conn = reader.conn().await?;
    let row =
        sqlx::query("SELECT * FROM case_file WHERE case_id = $1").bind(case_id).fetch_optional(&mut *conn).await?;
    let Some(row) = row else { return Ok(None) };
    let mut case = case_file(&row)?;
    case.names = load_names(conn, case_id).await?;
    case.assignments = load_assignments(conn, case_id).await?;
    case.measures = load_measures(conn, case_id).await?;
    case.consents = consent::load(conn, case_id).await?;
    Ok(Some(case))
}

fn case_file(row: &AnyRow) -> Result<CaseFile, StoreError> {
    let moment = |column: &str| -> Result<_, StoreError> { Ok(from_micros(row.try_get(column)?)) };
    let maybe = |column: &str| -> Result<_, StoreError> { Ok(row.try_get::<Option<i64>, _>(column)?.map(from_micros)) };
    let flag = |column: &str| -> Result<bool, StoreError> { Ok(row.try_get::<i64, _>(column)? != 0) };
    let text = |column: &str| -> Result<String, StoreError> { Ok(row.try_get(column)?) };
    Ok(CaseFile {
        id: text("case_id")?,
        rev: row.try_get("rev")?,
        subject_tag: row.try_get("subject_tag")?,
        tag_epoch: u32::try_from(row.try_get::<i64, _>("tag_epoch")?).map_err(|_| BAD)?,
        phase: text("phase")?.parse().map_err(|_| BAD)?,
        phase_at: moment("phase_at")?,
        table_at: maybe("table_at")?,
        created_at: moment("created_at")?,
        closed_at: maybe("closed_at")?,
        escalated: flag("escalated")?,
        restricted: flag("restricted")?,
        objection: flag("objection")?,
        chosen: oin(row.try_get("chosen_oin")?)?,
        regime: regime_from_text(&text("regime")?)?,
        regime_until: maybe("regime_until")?,
        names: BTreeMap::new(),
        assignments: Vec::new(),
        measures: Vec::new(),
        consents: Vec::new(),
    })
}

fn oin(text: Option<String>) -> Result<Option<Oin>, StoreError> {
    text.map(|text| text.parse().map_err(|_| BAD)).transpose()
}

async fn load_names(conn: &mut AnyConnection, case_id: &str) -> Result<BTreeMap<Oin, String>, StoreError> {
    let rows = sqlx::query("SELECT oin, name FROM case_name WHERE case_id = $1").bind(case_id).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get::<String, _>(0)?.parse().map_err(|_| BAD)?, row.try_get(1)?))).collect()
}

async fn load_assignments(conn: &mut AnyConnection, case_id: &str) -> Result<Vec<Assignment>, StoreError> {
    let rows = sqlx::query("SELECT * FROM assignment WHERE case_id = $1 ORDER BY starts_at, assignment_id")
        .bind(case_id)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let external: Option<String> = row.try_get("external_kind")?;
            let party = match (oin(row.try_get("oin")?)?, external) {
                (Some(oin), None) => Party::Partner(oin),
                (None, Some(kind)) => Party::External(kind.parse().map_err(|_| BAD)?),
                _ => return Err(StoreError::Inconsistent("assignment")),
            };
            Ok(Assignment {
                id: row.try_get("assignment_id")?,
                role: row.try_get::<String, _>("role")?.parse().map_err(|_| BAD)?,
                party,
                involved: row.try_get::<i64, _>("involved")? != 0,
                starts_at: from_micros(row.try_get("starts_at")?),
                ends_at: row.try_get::<Option<i64>, _>("ends_at")?.map(from_micros),
                ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(from_micros),
            })
        })
        .collect()
}

async fn load_measures(conn: &mut AnyConnection, case_id: &str) -> Result<Vec<MeasureInForce>, StoreError> {
    let rows = sqlx::query("SELECT * FROM measure WHERE case_id = $1").bind(case_id).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(MeasureInForce {
                kind: row.try_get::<String, _>("kind")?.parse().map_err(|_| BAD)?,
                executor: row.try_get::<String, _>("oin")?.parse().map_err(|_| BAD)?,
                starts_at: from_micros(row.try_get("starts_at")?),
                ends_at: row.try_get::<Option<i64>, _>("ends_at")?.map(from_micros),
            })
        })
        .collect()
}

/// How many cases about a subject the organisation has a name for, as the transaction sees it.
pub async fn count_by_tag(tx: &mut Tx<'_>, tag: &[u8], oin: &Oin) -> Result<i64, StoreError> {
    query(
        "SELECT COUNT(*) FROM case_file c JOIN case_name n ON n.case_id = c.case_id WHERE c.subject_tag = $1 AND n.oin = $2",
    )
    .bind(tag)
    .bind(oin.as_str())
    .fetch_number(tx.conn().await?)
    .await
}

/// How many records a case has.
pub async fn record_count(reader: &mut Reader, case_id: &str) -> Result<i64, StoreError> {
    let row = sqlx::query(COUNT_RECORDS).bind(case_id).fetch_one(reader.conn().await?).await?;
    Ok(row.try_get(0)?)
}

/// Refuses a commit whose decision saw fewer records in the case, or more.
pub async fn check_record_count(tx: &mut Tx<'_>, case_id: &str, seen: i64) -> Result<(), WorkError> {
    let now = query(COUNT_RECORDS).bind(case_id).fetch_number(tx.conn().await?).await?;
    if now == seen { Ok(()) } else { Err(WorkError::Stale) }
}

const COUNT_RECORDS: &str = "SELECT COUNT(*) FROM record WHERE case_id = $1";

/// Adds a case with its names and roles.
pub async fn insert(tx: &mut Tx<'_>, case: &CaseFile) -> Result<(), StoreError> {
    query(
        "INSERT INTO case_file (case_id, rev, subject_tag, tag_epoch, phase, phase_at, table_at, created_at, closed_at, \
         end_reason, escalated, restricted, objection, chosen_oin, regime, regime_until) \
         VALUES ($1,$2,$3,$4,$5,$6,NULL,$7,NULL,NULL,0,0,0,NULL,$8,$9)",
    )
    .bind(&case.id)
    .bind(case.rev)
    .bind(&case.subject_tag)
    .bind(i64::from(case.tag_epoch))
    .bind(case.phase.code())
    .bind(micros(case.phase_at))
    .bind(micros(case.created_at))
    .bind(regime_to_text(&case.regime))
    .bind(case.regime_until.map(micros))
    .execute(tx.conn().await?)
    .await?;
    for (oin, name) in &case.names {
        insert_name(tx, &case.id, oin, name).await?;
    }
    for assignment in &case.assignments {
        insert_assignment(tx, &case.id, assignment).await?;
    }
    Ok(())
}

/// Saves the case itself (not its roles, measures and consents) and moves its revision.
pub async fn save(tx: &mut Tx<'_>, case: &CaseFile) -> Result<(), StoreError> {
    tx.moves_case(&case.id)?;
    query(
        "UPDATE case_file SET rev = rev + 1, phase = $2, phase_at = $3, table_at = $4, closed_at = $5, escalated = $6, \
         restricted = $7, objection = $8, chosen_oin = $9, regime = $10, regime_until = $11 WHERE case_id = $1",
    )
    .bind(&case.id)
    .bind(case.phase.code())
    .bind(micros(case.phase_at))
    .bind(case.table_at.map(micros))
    .bind(case.closed_at.map(micros))
    .bind(i64::from(case.escalated))
    .bind(i64::from(case.restricted))
    .bind(i64::from(case.objection))
    .bind(case.chosen.as_ref().map(Oin::as_str))
    .bind(regime_to_text(&case.regime))
    .bind(case.regime_until.map(micros))
    .execute(tx.conn().await?)
    .await?;
    tx.wake(Wake::Case(case.id.clone()));
    Ok(())
}

/// Why the case was closed.
pub async fn set_end_reason(tx: &mut Tx<'_>, case_id: &str, reason: &str) -> Result<(), StoreError> {
    query("UPDATE case_file SET end_reason = $2 WHERE case_id = $1")
        .bind(case_id)
        .bind(reason)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Gives an organisation its own name for a case, if it has none yet.
pub async fn insert_name(tx: &mut Tx<'_>, case_id: &str, oin: &Oin, name: &str) -> Result<(), StoreError> {
    query("INSERT INTO case_name (name, case_id, oin) VALUES ($1,$2,$3) ON CONFLICT (case_id, oin) DO NOTHING")
        .bind(name)
        .bind(case_id)
        .bind(oin.as_str())
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Adds a role.
pub async fn insert_assignment(tx: &mut Tx<'_>, case_id: &str, a: &Assignment) -> Result<(), StoreError> {
    let external = match a.party {
        Party::Partner(_) => None,
        Party::External(kind) => Some(kind.code()),
    };
    query(
        "INSERT INTO assignment (assignment_id, case_id, role, oin, external_kind, involved, starts_at, ends_at, ended_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,NULL)",
    )
    .bind(&a.id)
    .bind(case_id)
    .bind(a.role.code())
    .bind(a.partner().map(Oin::as_str))
    .bind(external)
    .bind(i64::from(a.involved))
    .bind(micros(a.starts_at))
    .bind(a.ends_at.map(micros))
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Ends a role now.
pub async fn end_assignment(tx: &mut Tx<'_>, assignment_id: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE assignment SET ended_at = COALESCE(ended_at, $2) WHERE assignment_id = $1")
        .bind(assignment_id)
        .bind(at)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Puts down when a role will end.
pub async fn set_assignment_end(tx: &mut Tx<'_>, assignment_id: &str, ends_at: i64) -> Result<(), StoreError> {
    query("UPDATE assignment SET ends_at = $2 WHERE assignment_id = $1 AND (ends_at IS NULL OR ends_at > $2)")
        .bind(assignment_id)
        .bind(ends_at)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// Records a measure; a later one of the same kind takes the earlier one's place.
pub async fn put_measure(tx: &mut Tx<'_>, case_id: &str, measure: &MeasureInForce) -> Result<(), StoreError> {
    query(
        "INSERT INTO measure (case_id, kind, oin, starts_at, ends_at) VALUES ($1,$2,$3,$4,$5) \
         ON CONFLICT (case_id, kind) DO UPDATE SET oin = excluded.oin, starts_at = excluded.starts_at, \
         ends_at = excluded.ends_at",
    )
    .bind(case_id)
    .bind(measure.kind.code())
    .bind(measure.executor.as_str())
    .bind(micros(measure.starts_at))
    .bind(measure.ends_at.map(micros))
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// A regime as JSON: numbers of the API, so that renaming a word never changes what is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegimeText {
    band: i32,
    capable: bool,
    youth_alone: bool,
    represented: bool,
    authority: Vec<i32>,
}

pub(super) fn regime_to_text(regime: &Regime) -> String {
    let text = RegimeText {
        band: regime.band.number(),
        capable: regime.capable,
        youth_alone: regime.youth_alone,
        represented: regime.represented,
        authority: regime.authority.iter().map(|giver| giver.number()).collect(),
    };
    serde_json::to_string(&text).unwrap_or_default()
}

pub(super) fn regime_from_text(text: &str) -> Result<Regime, StoreError> {
    use crate::covenant::consent::{AgeBand, Giver};
    let text: RegimeText = serde_json::from_str(text).map_err(|_| BAD)?;
    let authority: Option<BTreeSet<Giver>> = text.authority.iter().map(|n| Giver::from_number(*n)).collect();
    Ok(Regime {
        band: AgeBand::from_number(text.band).ok_or(BAD)?,
        capable: text.capable,
        youth_alone: text.youth_alone,
        represented: text.represented,
        authority: authority.ok_or(BAD)?,
    })
}

#[cfg(test)]
mod tests;
