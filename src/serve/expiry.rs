//! Says in time that a certificate of this process, or a root that it trusts, ends: at 90, 60, 30 and 7 days.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Source};
use crate::ending::Step;
use crate::redact::log;
use crate::tls::files::certificates;
use crate::trust::Contents;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(24 * 3600);

/// Looks once a day, until the task is dropped.
pub(crate) async fn follow<C: Config + Clone + Send + Sync + 'static>(
    source: Source<C>,
    files: fn(&C) -> Vec<PathBuf>,
) {
    loop {
        if let Ok(config) = source.read() {
            files(&config).iter().for_each(|file| look(file));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A file that can't be read is an alarm of whoever loads it.
fn look(file: &Path) {
    let now = SystemClock.now();
    let found = certificates(file).unwrap_or_default();
    for one in found.iter().filter_map(|der| Contents::read(der).ok()) {
        let (left, file, name) = (one.days_left(now), file.display(), one.known_as());
        let left_over = u64::try_from(left).unwrap_or(0);
        let days = log(&left_over);
        match Step::passed(left) {
            None => {}
            Some(Step::Days7) => {
                tracing::error!(%file, certificate = name, days, "ALARM: a certificate ends: renew it now")
            }
            Some(_) => tracing::warn!(%file, certificate = name, days, "a certificate ends: order the next one"),
        }
    }
}
