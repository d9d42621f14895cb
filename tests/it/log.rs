//! What the hubs of this process log, kept for the search for what must not be in it.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

/// Bytes of the log so far.
pub(crate) type Lines = Arc<Mutex<Vec<u8>>>;

static LINES: OnceLock<Lines> = OnceLock::new();

struct Into(Lines);

impl Write for Into {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts keeping, at the most talkative level that a configuration can ask for. All tests of the process share it.
pub(crate) fn capture() -> Lines {
    let start = || {
        let lines = Lines::default();
        let writer = Arc::clone(&lines);
        tracing_subscriber::fmt()
            .json()
            .with_env_filter(tracing_subscriber::EnvFilter::new("warn,sluis=debug"))
            .with_writer(move || Into(Arc::clone(&writer)))
            .init();
        lines
    };
    Arc::clone(LINES.get_or_init(start))
}
