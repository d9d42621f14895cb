//! `sluis hub check`: what of the store does not hold together.

use std::io::Write;
use std::path::Path;

use super::CliError;
use crate::config::{self, HubConfig};
use crate::store::check::check;

/// Looks at the store of this configuration and says what it found.
///
/// # Errors
/// [`CliError::Findings`] if anything does not hold.
pub async fn run(file: &Path, out: &mut dyn Write) -> Result<(), CliError> {
    let config: HubConfig = config::load(file)?;
    let access = crate::hub::access(&config).map_err(|error| CliError::Service(Box::new(error)))?;
    let report = check(&access).await.map_err(|error| CliError::Service(Box::new(error)))?;
    for finding in &report.findings {
        writeln!(out, "{} rows break: {}", finding.rows, finding.rule).map_err(CliError::Write)?;
    }
    if report.findings.is_empty() {
        writeln!(out, "the store holds together: {} audit events", report.events).map_err(CliError::Write)
    } else {
        Err(CliError::Findings(report.findings.len()))
    }
}
