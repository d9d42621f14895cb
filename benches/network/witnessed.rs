//! How long it takes until what was acknowledged is in a published checkpoint that the quorum of witnesses has signed.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{HUB_UNANIMOUS, HUB_WITNESSED};
use crate::histogram::Histogram;
use crate::process::Helper;
use crate::protocol::{Ask, Told};
use crate::report::{Figures, Line};
use crate::servers::Servers;
use crate::stats::{Reach, estimate};
use crate::world::World;
use crate::{Failed, Options, say};

/// Its name among the cases.
pub(crate) const NAME: &str = "witnessed";

/// Seconds within which 99 of 100 events are to be witnessed.
const WITHIN: f64 = 2.0;
/// Calls a second of light load.
const LIGHT: u64 = 50;
/// Calls at the same time of full load.
const FULL: usize = 64;
/// Windows of each load, and their milliseconds: checkpoints come about once a second, so a window holds several.
const WINDOWS: usize = 3;
const WINDOW: u64 = 6_000;

/// Seconds from an acknowledgement to the signatures, with two of three witnesses and with all of them.
pub(crate) async fn measure(world: &mut World, options: &Options) -> Result<(Vec<Line>, Vec<Figures>), Failed> {
    let (mut lines, mut figures) = (Vec::new(), Vec::new());
    for (server, quorum) in [(HUB_WITNESSED, "2 of 3"), (HUB_UNANIMOUS, "3 of 3")] {
        let servers = Servers::start(world, &BTreeSet::from([server]), options).await?;
        let (mut loader, _) = Helper::start("load", &world.folder).await?;
        for (load, pace, tasks) in [(format!("{LIGHT} calls/s"), Some(LIGHT), 1), (format!("c={FULL}"), None, FULL)] {
            let title = format!("acknowledged until signed by {quorum} witnesses, {load}");
            say(&title)?;
            let mut windows = Vec::new();
            for _ in 0..if options.quick { 1 } else { WINDOWS } {
                let before = servers.cpu(server)?;
                let ask = Ask::Witness { server: server.to_owned(), millis: WINDOW, pace, tasks };
                let told: Told = loader.ask(&ask).await?;
                if told.errors > 0 || told.acknowledged == 0 {
                    return Err(format!("{title}: {} calls failed; the first: {}", told.errors, told.error).into());
                }
                windows.push((told, servers.cpu(server)? - before));
            }
            lines.extend(both(&title, &windows)?);
            figures.push(figure(server, &title, &windows));
        }
        loader.stop().await?;
        servers.stop().await?;
    }
    Ok((lines, figures))
}

fn both(title: &str, windows: &[(Told, u64)]) -> Result<Vec<Line>, Failed> {
    let line = |word: &str, q: f64, reach: Option<Reach>| -> Result<Line, Failed> {
        let seconds: Vec<f64> = windows.iter().map(|(told, _)| told.took.quantile(q) / 1e9).collect();
        Ok(Line::new(title, word, estimate(&seconds).ok_or("nothing was measured")?, reach))
    };
    Ok(vec![line("p50, seconds", 0.5, None)?, line("p99, seconds", 0.99, Some(Reach::AtMost(WITHIN)))?])
}

fn figure(server: &str, title: &str, windows: &[(Told, u64)]) -> Figures {
    let mut all = Histogram::default();
    windows.iter().for_each(|(told, _)| all.merge(&told.took));
    let calls: u64 = windows.iter().map(|(told, _)| told.acknowledged).sum();
    let seconds: f64 = windows.iter().map(|(told, _)| told.nanos as f64 / 1e9).sum();
    let cpu: u64 = windows.iter().map(|(_, cpu)| cpu).sum();
    Figures {
        name: server.to_owned(),
        title: title.to_owned(),
        rate: calls as f64 / seconds.max(1e-9),
        p50: all.quantile(0.5) / 1e6,
        p99: all.quantile(0.99) / 1e6,
        p999: all.quantile(0.999) / 1e6,
        cpu: cpu as f64 / calls.max(1) as f64 / 1e3,
        calls,
    }
}

/// What was acknowledged, and when checkpoints of which sizes were first seen, as nanoseconds of one clock.
#[derive(Default)]
pub(crate) struct Watched {
    /// By event.
    pub(crate) acknowledged: BTreeMap<String, u64>,
    /// In the order in which they came.
    pub(crate) seen: Vec<(u64, u64)>,
}

impl Watched {
    /// When the first checkpoint was seen that holds the entry at this place.
    pub(crate) fn held(&self, place: u64) -> Option<u64> {
        let first = self.seen.partition_point(|(size, _)| *size <= place);
        self.seen.get(first).map(|(_, at)| *at)
    }
}
