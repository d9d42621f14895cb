//! That long work goes on, said to people now and then.

use std::io::{self, Read, Write as _};
use std::time::{Duration, Instant};

/// Between two words.
const PATIENCE: Duration = Duration::from_secs(5);

/// When something was last said.
pub(super) struct Progress(Instant);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Says so much of what is done, if nothing was said for a while.
    pub(super) fn tell(&mut self, count: u64, what: &str) {
        if self.0.elapsed() < PATIENCE {
            return;
        }
        self.0 = Instant::now();
        // Beside what is asked for: that may be on its way into a file. Whether anybody reads along does not matter.
        let _ = writeln!(io::stderr(), "... {count} {what}");
    }
}

/// A file of which is said how far it is read.
pub(super) struct Watched<R> {
    inner: R,
    read: u64,
    progress: Progress,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, read: 0, progress: Progress::new() }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.read += read as u64;
        self.progress.tell(self.read >> 20, "MiB read");
        Ok(read)
    }
}
