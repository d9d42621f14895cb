//! How long a hub takes to serve, over a short log and over a long one.

use std::time::Instant;

use crate::case::{HUB, HUB_HISTORY};
use crate::process::Process;
use crate::report::Line;
use crate::servers::Servers;
use crate::stats::{Reach, estimate};
use crate::world::World;
use crate::{Failed, Options, hub, say};

/// Starts of each.
const TIMES: usize = 5;

/// Seconds from start to health. Ends both hubs.
pub(crate) async fn measure(servers: &mut Servers, world: &World, options: &Options) -> Result<Vec<Line>, Failed> {
    let long = format!("start over {} events", options.events());
    let mut lines = Vec::new();
    for (name, title, reach) in
        [(HUB, "start over a short log", None), (HUB_HISTORY, long.as_str(), Some(Reach::AtMost(2.0)))]
    {
        let Some(config) = servers.end(name).await? else { continue };
        say(title)?;
        let mut values = Vec::new();
        for _ in 0..TIMES {
            let start = Instant::now();
            let process = Process::hub(&config.file)?;
            hub::until_serving(&world.folder, &config.address).await?;
            values.push(start.elapsed().as_secs_f64());
            process.stop().await?;
        }
        lines.push(Line::new(title, "seconds", estimate(&values).ok_or("nothing was measured")?, reach));
    }
    Ok(lines)
}
