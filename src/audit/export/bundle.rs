//! Bundles: events with their proofs, in files that verify without any hub.
//!
//! - `events.ndjson`: the events, one in a line, newest first.
//! - `proofs.ndjson`: for each event, in the same order, its leaf, what may be opened of it, and its file of proof (C2SP tlog-proof).
//!   A log grows while it is read: each proof leads to the checkpoint that it was made under.
//! - `erasures.ndjson`, if something was erased: the same of the events that erased it.
//! - `checkpoint`: the newest of those.
//! - `events.csv` or another: the same events in the format that was asked for.
//! - `manifest.json`: last, so that an export which broke off has none.

use std::io::{self, BufWriter, Read, Write};

use super::manifest::{CHECKPOINT, ERASURES, EVENTS, MANIFEST, Measured, PROOFS};
use super::verify::{Checks, Evidence, Fault};
use super::{File, Format, Line, Manifest, Rendering, Story, json_line};
use crate::api::v1;
use crate::api::v1::event_proof::State;
use crate::tlog::Policy;

/// Where the files of a bundle are.
pub trait Folder {
    /// A file to read.
    type Reader: Read;
    /// A file to write.
    type Writer: Write;

    /// A new file; one that is there already is begun anew.
    ///
    /// # Errors
    /// What the medium says.
    fn create(&self, name: &str) -> io::Result<Self::Writer>;

    /// Makes sure that what was written stays.
    ///
    /// # Errors
    /// What the medium says.
    fn keep(&self, file: Self::Writer) -> io::Result<()>;

    /// A file, unless it is not there.
    ///
    /// # Errors
    /// What the medium says.
    fn open(&self, name: &str) -> io::Result<Option<Self::Reader>>;

    /// Gives a file another name, at once and for good.
    ///
    /// # Errors
    /// What the medium says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
}

/// What happens to an event that is not yet under a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// The export fails: ask again within seconds.
    Fails,
    /// It is exported with its leaf alone, and counted.
    Kept,
}

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is a whole one already.
    #[error("there is a bundle already")]
    Exists,
    /// What would not verify is not written.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The hub proves nothing about an event that it gave.
    #[error("{0}: the hub knows no proof of it")]
    NoProof(String),
    /// Not one proof for each event.
    #[error("{events} events came with {proofs} proofs")]
    Uneven {
        /// Events of a page.
        events: usize,
        /// Proofs of a page.
        proofs: usize,
    },
    /// An event without a proof.
    #[error("{0} is not under a checkpoint yet: ask again within seconds")]
    Waiting(String),
    /// A file.
    #[error("{0} can't be written")]
    Write(&'static str, #[source] io::Error),
}

type Out<F> = BufWriter<Measured<<F as Folder>::Writer>>;

/// A bundle that is being written. What is handed over is verified on the way.
pub struct Bundle<F: Folder> {
    folder: F,
    /// Name of the log.
    log: String,
    format: Format,
    unproven: Unproven,
    checks: Checks,
    events: Rendering<Out<F>>,
    proofs: Out<F>,
    erasures: Option<Out<F>>,
    /// The same events in another format.
    derived: Option<Rendering<Out<F>>>,
}

impl<F: Folder> Bundle<F> {
    /// Begins a bundle.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn new(folder: F, policy: Policy, format: Format, unproven: Unproven) -> Result<Self, BundleError> {
        if folder.open(MANIFEST).map_err(|error| BundleError::Write(MANIFEST, error))?.is_some() {
            return Err(BundleError::Exists);
        }
        let rendering = |format: Format| {
            Rendering::new(format, create(&folder, format.file())?)
                .map_err(|error| BundleError::Write(format.file(), error))
        };
        let (events, proofs) = (rendering(Format::Ndjson)?, create(&folder, PROOFS)?);
        let derived = if format == Format::Ndjson { None } else { Some(rendering(format)?) };
        let log = policy.logs().first().map(|log| log.name().to_string()).unwrap_or_default();
        let checks = Checks::new(policy);
        Ok(Self { folder, log, format, unproven, checks, events, proofs, erasures: None, derived })
    }

    /// Writes proofs of events by which something was erased: before the pages with what they erased.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn erasures(&mut self, proofs: &[v1::EventProof]) -> Result<(), BundleError> {
        proofs.iter().try_for_each(|proof| {
            match proof.state() {
                State::Proven => {}
                State::Waiting => return Err(BundleError::Waiting(proof.event.clone())),
                State::Unknown | State::Unspecified => return Err(BundleError::NoProof(proof.event.clone())),
            }
            // Who may open something of it is not asked here.
            let evidence = Evidence::of(&v1::EventProof { disclosures: Vec::new(), ..proof.clone() })?;
            self.checks.erasure(&evidence)?;
            let file = match self.erasures.take() {
                Some(file) => file,
                None => create(&self.folder, ERASURES)?,
            };
            json_line(self.erasures.insert(file), &evidence).map_err(|error| BundleError::Write(ERASURES, error))
        })
    }

    /// Writes events and their proofs, each in its place: newest first, over all pages.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn page(&mut self, events: &[v1::Event], proofs: &[v1::EventProof]) -> Result<(), BundleError> {
        if events.len() != proofs.len() {
            return Err(BundleError::Uneven { events: events.len(), proofs: proofs.len() });
        }
        events.iter().zip(proofs).try_for_each(|(event, proof)| self.event(event, proof))
    }

    fn event(&mut self, event: &v1::Event, proof: &v1::EventProof) -> Result<(), BundleError> {
        match proof.state() {
            State::Proven if !proof.proof.is_empty() => {}
            State::Waiting if self.unproven == Unproven::Kept && proof.proof.is_empty() => {}
            State::Waiting => return Err(BundleError::Waiting(event.name.clone())),
            State::Proven | State::Unknown | State::Unspecified => {
                return Err(BundleError::NoProof(event.name.clone()));
            }
        }
        let line = Line::from(event);
        let evidence = Evidence::of(proof)?;
        self.checks.event(&line, &evidence)?;
        self.events.line(&line).map_err(|error| BundleError::Write(EVENTS, error))?;
        json_line(&mut self.proofs, &evidence).map_err(|error| BundleError::Write(PROOFS, error))?;
        if let Some(derived) = &mut self.derived {
            derived.line(&line).map_err(|error| BundleError::Write(self.format.file(), error))?;
        }
        Ok(())
    }

    /// Ends the bundle: from now on it is one.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn finish(self, story: Story) -> Result<Manifest, BundleError> {
        let Self { folder, log, format, checks, events, proofs, erasures, derived, .. } = self;
        let failed = |name: &'static str| move |error: io::Error| BundleError::Write(name, error);
        let mut files = std::collections::BTreeMap::new();
        let events = events.finish().map_err(failed(EVENTS))?;
        files.insert(EVENTS.to_owned(), kept(&folder, events).map_err(failed(EVENTS))?);
        files.insert(PROOFS.to_owned(), kept(&folder, proofs).map_err(failed(PROOFS))?);
        if let Some(erasures) = erasures {
            files.insert(ERASURES.to_owned(), kept(&folder, erasures).map_err(failed(ERASURES))?);
        }
        if let Some(derived) = derived {
            let derived = derived.finish().map_err(failed(format.file()))?;
            files.insert(format.file().to_owned(), kept(&folder, derived).map_err(failed(format.file()))?);
        }
        let whole = |name: &str, bytes: &[u8]| {
            let mut out = BufWriter::new(Measured::new(folder.create(name)?));
            out.write_all(bytes)?;
            kept(&folder, out)
        };
        if let Some(checkpoint) = checks.newest() {
            let file = whole(CHECKPOINT, &checkpoint.to_bytes()).map_err(failed(CHECKPOINT))?;
            files.insert(CHECKPOINT.to_owned(), file);
        }
        let manifest = Manifest {
            version: 1,
            tool: story.tool,
            created: story.created,
            query: story.query,
            log,
            format: format.code().to_owned(),
            events: checks.events(),
            waiting: checks.waiting(),
            files,
            complete: true,
            sha256: String::new(),
        };
        let bytes = manifest.to_bytes().map_err(failed(MANIFEST))?;
        let part = "manifest.json.part";
        whole(part, &bytes).and_then(|_| folder.rename(part, MANIFEST)).map_err(failed(MANIFEST))?;
        Manifest::from_bytes(&bytes).ok_or(BundleError::Fault(Fault::Manifest))
    }
}

fn create<F: Folder>(folder: &F, name: &'static str) -> Result<Out<F>, BundleError> {
    let file = folder.create(name).map_err(|error| BundleError::Write(name, error))?;
    Ok(BufWriter::new(Measured::new(file)))
}

fn kept<F: Folder>(folder: &F, out: Out<F>) -> io::Result<File> {
    let (file, measured) = out.into_inner().map_err(io::IntoInnerError::into_error)?.done();
    folder.keep(file)?;
    Ok(measured)
}
