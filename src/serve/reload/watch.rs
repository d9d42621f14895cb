//! When a file that changed counts: it has come to rest, and so have those that belong to it. What the system says of files is
//! asked for here; what follows from it is pure.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// What has not changed for so long is not being written: several looks, and well within the second in which a revocation acts.
const SETTLED: Duration = Duration::from_millis(300);
/// A certificate and its key are two files: what does not fit together is an alarm only when nothing more has come for so long.
const COMPLETE: Duration = Duration::from_secs(2);

/// A file as it was: what changes when somebody puts another in its place, writes into it, or lets others read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Option<(SystemTime, u64, [i64; 3])>);

/// The files as they are now.
pub(super) fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(Stamp::of).collect()
}

impl Stamp {
    fn of(path: &PathBuf) -> Self {
        let stamp = std::fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len(), identity(&data))));
        Self(stamp.ok())
    }
}

/// Which file it is, and when anything about it changed: that moment nobody sets by hand.
#[cfg(unix)]
fn identity(data: &std::fs::Metadata) -> [i64; 3] {
    use std::os::unix::fs::MetadataExt as _;
    [data.ino().cast_signed(), data.ctime(), data.ctime_nsec()]
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> [i64; 3] {
    [0; 3]
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// What changed is at rest. If it can't be used, more may be to come.
    Early,
    /// Nothing more has come.
    Last,
}

/// What is known of the files.
pub(super) struct Watch {
    loaded: Vec<Stamp>,
    seen: Vec<Stamp>,
    /// When they were seen to change last.
    changed: Instant,
    tried: Option<Try>,
    /// When what can't be used is tried again, though it did not change: a certificate that begins tomorrow is good tomorrow.
    again: Option<Instant>,
}

impl Watch {
    pub(super) fn new(loaded: Vec<Stamp>, now: Instant) -> Self {
        Self { seen: loaded.clone(), loaded, changed: now, tried: None, again: None }
    }

    /// Whether to load what is there now.
    pub(super) fn look(&mut self, seen: Vec<Stamp>, now: Instant) -> Option<Try> {
        if seen != self.seen {
            (self.seen, self.changed, self.tried) = (seen, now, None);
            return None;
        }
        if self.seen == self.loaded {
            return self.again.take_if(|again| now >= *again).map(|_| Try::Last);
        }
        let rests = now.saturating_duration_since(self.changed);
        let next = match self.tried {
            None if rests >= SETTLED => Try::Early,
            Some(Try::Early) if rests >= COMPLETE => Try::Last,
            _ => return None,
        };
        self.tried = Some(next);
        Some(next)
    }

    /// These were loaded. What changed since they were looked at counts at the next look.
    pub(super) fn is_loaded(&mut self, seen: Vec<Stamp>) {
        (self.loaded, self.again) = (seen, None);
    }

    /// These can't be used, and that was said: what is in force is not what is there.
    pub(super) fn is_refused(&mut self, seen: Vec<Stamp>, again: Instant) {
        (self.loaded, self.again) = (seen, Some(again));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64) -> Vec<Stamp> {
        vec![Stamp(Some((SystemTime::UNIX_EPOCH, number, [0; 3]))), Stamp(None)]
    }

    #[test]
    fn what_changed_counts_when_it_rests_and_is_tried_twice() {
        let start = Instant::now();
        let mut watch = Watch::new(stamp(0), start);
        let mut look = |number, ms| watch.look(stamp(number), start + Duration::from_millis(ms));
        assert_eq!(look(0, 10_000), None, "nothing changed");
        // Written piece by piece: it does not count before it is done.
        for piece in 1..20 {
            assert_eq!(look(piece, 10_000 + 200 * piece), None);
        }
        assert_eq!((look(19, 14_000), look(19, 14_100)), (None, Some(Try::Early)));
        assert_eq!((look(19, 14_200), look(19, 15_700)), (None, None), "it is not tried all the time");
        assert_eq!((look(19, 15_900), look(19, 99_000)), (Some(Try::Last), None));
        // The other file came: that is a change like the first.
        assert_eq!((look(20, 100_000), look(20, 100_300)), (None, Some(Try::Early)));
        watch.is_loaded(stamp(20));
        let late = start + Duration::from_secs(200);
        assert_eq!((watch.look(stamp(20), late), watch.look(stamp(20), late)), (None, None));
        assert_eq!(watch.look(stamp(19), late), None, "back to what was is a change too");
        assert_eq!(watch.look(stamp(19), late + SETTLED), Some(Try::Early));
    }

    #[test]
    fn what_could_not_be_used_is_tried_again_until_it_can_or_changes() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let at = |minutes: u32| start + Duration::from_secs(60) * minutes;
        let mut watch = Watch::new(stamp(0), start);
        watch.is_refused(stamp(0), start + hour);
        assert_eq!((watch.look(stamp(0), at(59)), watch.look(stamp(0), at(60))), (None, Some(Try::Last)));
        assert_eq!(watch.look(stamp(0), at(60)), None, "what came of it is not known yet");
        watch.is_refused(stamp(0), at(60) + hour);
        assert_eq!((watch.look(stamp(0), at(119)), watch.look(stamp(0), at(120))), (None, Some(Try::Last)));
        watch.is_loaded(stamp(0));
        assert_eq!(watch.look(stamp(0), at(999)), None, "nothing is left to be tried");
        watch.is_refused(stamp(0), at(1000));
        assert_eq!((watch.look(stamp(1), at(1000)), watch.look(stamp(1), at(1001))), (None, Some(Try::Early)));
        watch.is_loaded(stamp(1));
        assert_eq!(watch.look(stamp(1), at(2000)), None);
    }

    #[test]
    fn whatever_becomes_of_a_file_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let paths = vec![folder.path().join("a.crl")];
        let mut before = stamps(&paths);
        let changes: [fn(&PathBuf); 4] = [
            |path| std::fs::write(path, "one").unwrap(),
            |path| std::fs::write(path, "two").unwrap(),
            // Another of the same size, with the time of the first.
            |path| {
                let time = std::fs::metadata(path).unwrap().modified().unwrap();
                std::fs::write(path.with_extension("new"), "six").unwrap();
                std::fs::File::open(path.with_extension("new")).unwrap().set_modified(time).unwrap();
                std::fs::rename(path.with_extension("new"), path).unwrap();
            },
            |path| std::fs::remove_file(path).unwrap(),
        ];
        for (nth, change) in changes.into_iter().enumerate() {
            std::thread::sleep(Duration::from_millis(20));
            change(&paths[0]);
            let now = stamps(&paths);
            assert_ne!(now, before, "{nth}");
            before = now;
        }
    }
}
