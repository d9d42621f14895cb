//! Standard output, as long as somebody reads it.

use std::error::Error;
use std::io::{self, ErrorKind, Write};

/// As a shell says it of a program that SIGPIPE ended.
pub(super) const UNREAD: u8 = 141;

/// Knows when its reader has gone: `| head` has enough, and that is no failure to speak of.
pub(super) struct Output<'w> {
    inner: &'w mut dyn Write,
    is_unread: bool,
}

impl<'w> Output<'w> {
    pub(super) fn new(inner: &'w mut dyn Write) -> Self {
        Self { inner, is_unread: false }
    }

    /// Whether a command failed because nobody reads what it says.
    pub(super) fn explains(&self, error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error).filter(|_| self.is_unread);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    fn note<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        self.is_unread |= done.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        done
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.inner.write(bytes);
        self.note(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.inner.flush();
        self.note(done)
    }
}
