//! What the tree and the receipts cost: the parts of a hub that no call waits for, or that all of a commit share, run alone.

use std::time::{Duration, Instant};

use sluis::store::{Access, Store};
use sluis::tlog::{Checkpoint, Hash, PrivateKey, Together, Tree, record_hash};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use crate::postgres::opening;
use crate::process::{cpu, until};
use crate::report::Line;
use crate::stats::{Estimate, Reach, estimate};
use crate::world::World;
use crate::{Failed, Options, history, hub, say, setup};

/// Its name among the cases.
pub(crate) const NAME: &str = "sealing";
/// The call of which it is a share.
pub(crate) const CALL: &str = "full-64";

/// Share of a call's CPU that it may be.
const SHARE: f64 = 0.05;
/// Between two looks whether the file is free.
const LOOK: Duration = Duration::from_millis(20);
/// Events that wait for the tree.
const EVENTS: u64 = 100_000;
/// Growths in one value: some ten thousand leaves.
const STRETCH: usize = 10;
/// Events of one commit, as a hub under full load has them, and commits in one value.
const TOGETHER: usize = 32;
const COMMITS: usize = 200;

/// Leaves a second, and what sealing an event is of the CPU that a call takes, in nanoseconds each round.
pub(crate) async fn measure(world: &World, call: &[f64], options: &Options) -> Result<Vec<Line>, Failed> {
    say("growing a tree over events that wait")?;
    let events = if options.quick { EVENTS / 4 } else { EVENTS };
    let (rates, grown) = grow(world, events).await?;
    let key = setup::log_key(&world.folder)?;
    let (receipts, signed) = (receipts(&key)?, checkpoints(&key)?);
    let of = |values: &[f64]| estimate(values).ok_or("nothing was measured");
    let (grown, receipts) = (of(&grown)?, of(&receipts)?);
    let mut lines = vec![
        Line::new("the tree grows", "leaves/s", of(&rates)?, None),
        Line::new("an event's place in the tree, CPU", "µs", grown, None),
        Line::new("an event's receipt, CPU", "µs", receipts, None),
        Line::new("a checkpoint's signature, one a second, CPU", "µs", of(&signed)?, None),
    ];
    if let Some(call) = estimate(call) {
        let share = |part: fn(&Estimate) -> f64, whole: f64| (part(&grown) + part(&receipts)) * 1e3 / whole;
        let share = Estimate {
            low: share(|part| part.low, call.high),
            mid: share(|part| part.mid, call.mid),
            high: share(|part| part.high, call.low),
        };
        lines.push(Line::new("tree and receipt / full call, c=64", "CPU per call", share, Some(Reach::AtMost(SHARE))));
    }
    Ok(lines)
}

/// Leaves a second and microseconds of CPU for a leaf, stretch by stretch: by the store's own writer, in this process.
async fn grow(world: &World, events: u64) -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let home = world.folder.join(NAME);
    std::fs::create_dir_all(&home)?;
    let url = format!("sqlite:{}", hub::database(&home).display());
    // Opening a store makes its tables. One event of the network's is what all others are like.
    drop(Store::open(opening(Access::new(&url, None)?)).await?);
    let mut conn = AnyConnection::connect(&url).await?;
    let first = hub::database(&hub::home(&world.folder, hub::FIRST));
    let attach = format!("ATTACH DATABASE '{}' AS first", first.display());
    sqlx::query(AssertSqlSafe(attach)).execute(&mut conn).await?;
    let newest = "SELECT event_id FROM first.audit_event ORDER BY at DESC, event_id DESC LIMIT 1";
    let event: String = sqlx::query(newest).fetch_one(&mut conn).await?.try_get(0)?;
    for table in ["audit_event", "audit_event_party"] {
        let copy = format!("INSERT INTO {table} SELECT * FROM first.{table} WHERE event_id = $1");
        sqlx::query(AssertSqlSafe(copy)).bind(&event).execute(&mut conn).await?;
    }
    history::copies(&mut conn, &event, events).await?;
    conn.close().await?;
    // The first one may still be letting go of the file.
    let open = || async { Ok(Store::open(opening(Access::new(&url, None)?)).await?) };
    let store = until(open, LOOK).await?;
    let (mut rates, mut took) = (Vec::new(), Vec::new());
    let mut more = true;
    let mut all = 0;
    while more {
        let (start, before, mut placed) = (Instant::now(), cpu(std::process::id())?, 0);
        for _ in 0..STRETCH {
            let progress = store.grow().await?;
            placed += progress.placed;
            more = progress.more;
            if !more {
                break;
            }
        }
        all += placed;
        // What is left over at the end is too little to divide by.
        if placed > 0 && (more || rates.is_empty()) {
            rates.push(placed as f64 / start.elapsed().as_secs_f64());
            took.push((cpu(std::process::id())? - before) as f64 / 1e3 / placed as f64);
        }
    }
    if (all as u64) < events { Err("events without a place in the tree".into()) } else { Ok((rates, took)) }
}

/// Microseconds for a receipt, of events that were committed together.
fn receipts(key: &PrivateKey) -> Result<Vec<f64>, Failed> {
    let entries: Vec<Hash> = (0..TOGETHER).map(|nth| record_hash(&nth.to_be_bytes())).collect();
    each(|| {
        let together = Together::new(&entries, 0);
        for place in 0..TOGETHER as u64 {
            std::hint::black_box(together.receipt(place, 86_400, key).ok_or("no receipt")?);
        }
        Ok(())
    })
    .map(|values| values.iter().map(|value| value / TOGETHER as f64).collect())
}

/// Microseconds for signing a tree.
fn checkpoints(key: &PrivateKey) -> Result<Vec<f64>, Failed> {
    each(|| {
        let tree = Tree { size: EVENTS, root: record_hash(b"") };
        std::hint::black_box(Checkpoint::sign(key, tree).ok_or("no checkpoint")?);
        Ok(())
    })
}

/// Microseconds of each call, several times over.
fn each(call: impl Fn() -> Result<(), Failed>) -> Result<Vec<f64>, Failed> {
    let mut values = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..COMMITS {
            call()?;
        }
        values.push(start.elapsed().as_secs_f64() * 1e6 / COMMITS as f64);
    }
    Ok(values)
}
