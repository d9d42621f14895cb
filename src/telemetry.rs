//! Structured logs to standard error, and how an error is printed.
//!
//! Only this crate's own lines can be made more talkative: libraries stay at `warn`, because at `debug` several of them
//! print headers, statements or certificates, and those would carry identifiers into the log (guarantee G11).

use std::error::Error;
use std::fmt;

use serde::Deserialize;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Section `[log]` of every configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How much Sluis itself says.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

impl LogConfig {
    /// For commands whose output is for people.
    pub const fn quiet() -> Self {
        Self { level: Level::Error, format: Format::Text }
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Defects in Sluis itself.
    Error,
    /// What an operator should look at.
    Warn,
    /// Start, stop, and one line per call.
    #[default]
    Info,
    /// Steps within a call.
    Debug,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Starts logging for this process. Call it once.
///
/// # Errors
/// When a logger is already running.
pub fn start(config: LogConfig) -> Result<(), TelemetryError> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(config.level)).with_writer(std::io::stderr);
    match config.format {
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
        Format::Text => lines.with_ansi(false).with_target(false).finish().try_init(),
    }
    .map_err(TelemetryError)
}

/// A logger is already running.
#[derive(Debug, thiserror::Error)]
#[error("can't start logging twice in one process")]
pub struct TelemetryError(#[source] TryInitError);

/// An error and all its causes on one line.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            // Some libraries print their cause too.
            let said = error.to_string();
            if !last.ends_with(&said) {
                write!(f, ": {said}")?;
            }
            (last, cause) = (said, error.source());
        }
        Ok(())
    }
}

/// As [`Chain`], as a field of a log line: `tracing::error!(error = chain(&error), "…")`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    Chain(error).to_string()
}

fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "warn,sluis=info",
        Level::Debug => "warn,sluis=debug",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("again: inner")]
    struct Again(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn a_chain_names_every_cause_once() {
        assert_eq!(Chain(&Outer(Inner)).to_string(), "outer: inner");
        assert_eq!(Chain(&Again(Inner)).to_string(), "again: inner");
        assert_eq!(Chain(&Inner).to_string(), "inner");
    }

    #[test]
    fn libraries_never_go_below_warn() {
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug] {
            let text = filter(level).to_string();
            for part in text.split(',').filter(|part| !part.starts_with("sluis=")) {
                assert!(["error", "warn"].contains(&part), "{text}");
            }
        }
    }
}
