//! What an open connection costs a server, in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::case::{BARE, HUB};
use crate::process::Helper;
use crate::protocol::{Ask, Told};
use crate::report::Line;
use crate::servers::Servers;
use crate::stats::{Reach, estimate};
use crate::world::World;
use crate::{Failed, Options, say};

/// Its name among the cases.
pub(crate) const NAME: &str = "memory";

/// Connections that make a server touch whatever it touches once.
const FIRST: usize = 50;
/// Calls on each of them: a hub writes every call down, and its store's cache is to be full before it counts.
const CALLS: usize = 100;
/// Connections that count.
const COUNTED: usize = 500;
/// Until what the last connection left behind has been cleared away.
const SETTLE: Duration = Duration::from_millis(500);
/// Fresh servers, each measured once.
const TIMES: usize = 3;

/// KiB for each connection, without and with an open stream.
pub(crate) async fn measure(world: &mut World, options: &Options) -> Result<Vec<Line>, Failed> {
    let mut lines = Vec::new();
    for (server, streams, title, reach) in [
        (BARE, false, "memory of an idle connection to a bare server", None),
        (HUB, false, "memory of an idle connection", Some(Reach::AtMost(40.0))),
        (BARE, true, "memory of a connection with a stream to a bare server", None),
        (HUB, true, "memory of a connection with a stream", Some(Reach::AtMost(52.0))),
    ] {
        say(title)?;
        let mut values = Vec::new();
        for _ in 0..if options.quick { 1 } else { TIMES } {
            values.push(each(world, server, streams, options).await?);
        }
        let estimate = estimate(&values).ok_or("nothing was measured")?;
        lines.push(Line::new(title, "KiB", estimate, reach));
    }
    Ok(lines)
}

async fn each(world: &mut World, name: &'static str, streams: bool, options: &Options) -> Result<f64, Failed> {
    let servers = Servers::start(world, &BTreeSet::from([name]), options).await?;
    let (mut loader, _) = Helper::start("load", &world.folder).await?;
    let hold = |connections, calls| Ask::Hold { server: name.to_owned(), connections, calls, streams };
    let _: Told = loader.ask(&hold(FIRST, CALLS)).await?;
    tokio::time::sleep(SETTLE).await;
    let before = servers.process(name)?.resident()?;
    let _: Told = loader.ask(&hold(COUNTED, 1)).await?;
    tokio::time::sleep(SETTLE).await;
    let after = servers.process(name)?.resident()?;
    loader.stop().await?;
    servers.stop().await?;
    Ok((after - before) / COUNTED as f64)
}
