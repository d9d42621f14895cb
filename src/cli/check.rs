//! `sluis hub check` and `sluis hub copy`: what of a store does not hold together, and a store on another engine.

use std::io::Write;
use std::path::Path;

use super::CliError;
use crate::config::{self, HubConfig};
use crate::store::check::check;
use crate::store::{self, Access};

/// Looks at the store of this configuration and says what it found.
///
/// # Errors
/// [`CliError::Findings`] if anything does not hold.
pub async fn run(file: &Path, out: &mut dyn Write) -> Result<(), CliError> {
    look(&access(file)?, out).await
}

/// Copies a store to another engine, then looks at the copy.
///
/// # Errors
/// [`CliError`]; nothing was copied, or the copy does not hold together.
pub async fn copy(from: &Path, to: &Path, out: &mut dyn Write) -> Result<(), CliError> {
    let (from, to) = (access(from)?, access(to)?);
    let copied = store::copy::copy(&from, &to).await.map_err(|error| CliError::Database(Box::new(error)))?;
    for (table, rows) in copied {
        writeln!(out, "{rows:>9} {table}").map_err(CliError::Write)?;
    }
    look(&to, out).await
}

pub(super) fn access(file: &Path) -> Result<Access, CliError> {
    let config: HubConfig = config::load(file)?;
    crate::hub::access(&config).map_err(|error| CliError::Database(Box::new(error)))
}

async fn look(access: &Access, out: &mut dyn Write) -> Result<(), CliError> {
    let report = check(access).await.map_err(|error| CliError::Database(Box::new(error)))?;
    for finding in &report.findings {
        writeln!(out, "{} rows break: {}", finding.rows, finding.rule).map_err(CliError::Write)?;
    }
    if report.findings.is_empty() {
        writeln!(out, "the store holds together: {} audit events", report.events).map_err(CliError::Write)
    } else {
        Err(CliError::Findings(report.findings.len()))
    }
}
