//! Events as others want to have them: lines of JSON, CSV, FHIR AuditEvents, the Dutch Logboek Dataverwerkingen; and bundles of
//! them with their proofs, which anybody verifies with the log's public key alone. Pure: bytes in, bytes out.

mod bundle;
mod compare;
mod csv;
mod fhir;
mod ldv;
mod line;
mod manifest;
#[cfg(test)]
mod tests;
mod uri;
mod verify;

use std::io::{self, Write};

use serde::Serialize;

pub use bundle::{Bundle, BundleError, Folder, Unproven};
pub use compare::compare;
pub use compare::contradiction;
pub use line::{Line, NotALine};
pub use manifest::{File, Manifest, Story};
pub use verify::{Fault, Verified, confirm, confirm_gone, verify};

use crate::party::vocabulary;

vocabulary! {
    /// How events are written down.
    Format, "format of an export":
    /// One event in a line, named as in the API.
    Ndjson = "ndjson",
    /// RFC 4180, for spreadsheets.
    Csv = "csv",
    /// FHIR R4 AuditEvent, in the shapes of IHE BALP.
    Fhir = "fhir",
    /// Logboek Dataverwerkingen without its extensions: nothing of who the user was.
    LdvCore = "ldv-core",
    /// Logboek Dataverwerkingen with the extension for NEN 7513 (concept 0.0.1).
    LdvNen7513 = "ldv-nen7513",
}

impl Format {
    /// What a file of it is called.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Ndjson => "events.ndjson",
            Self::Csv => "events.csv",
            Self::Fhir => "events.fhir.ndjson",
            Self::LdvCore => "events.ldv-core.ndjson",
            Self::LdvNen7513 => "events.ldv-nen7513.ndjson",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Fhir => "application/fhir+ndjson",
            Self::Ndjson | Self::LdvCore | Self::LdvNen7513 => "application/x-ndjson",
        }
    }
}

/// Writes events in one format, one after the other: nothing is kept of those before.
#[derive(Debug)]
pub struct Rendering<W> {
    format: Format,
    out: W,
}

impl<W: Write> Rendering<W> {
    /// Writes what stands before the first event.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(format: Format, mut out: W) -> io::Result<Self> {
        if format == Format::Csv {
            csv::header(&mut out)?;
        }
        Ok(Self { format, out })
    }

    /// Writes one event.
    ///
    /// # Errors
    /// What `out` says.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        match self.format {
            Format::Ndjson => json_line(&mut self.out, line),
            Format::Csv => csv::row(&mut self.out, line),
            Format::Fhir => json_line(&mut self.out, &fhir::audit_event(line)),
            Format::LdvCore => records(&mut self.out, &ldv::core(line)),
            Format::LdvNen7513 => records(&mut self.out, &ldv::nen7513(line)),
        }
    }

    /// Writes what is still held back, and gives the output back.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Writes events in one format, as they come.
///
/// # Errors
/// What `out` says.
pub fn write(
    format: Format,
    lines: impl IntoIterator<Item: std::borrow::Borrow<Line>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut rendering = Rendering::new(format, out)?;
    for line in lines {
        rendering.line(std::borrow::Borrow::borrow(&line))?;
    }
    rendering.finish().map(|_| ())
}

fn records(out: &mut impl Write, records: &[serde_json::Value]) -> io::Result<()> {
    records.iter().try_for_each(|record| json_line(out, record))
}

/// One line of JSON.
fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
