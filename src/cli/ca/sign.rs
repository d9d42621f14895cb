//! `sluis ca issue`, `request`, `approve`, `sign`: certificates are made.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Opening, Place, open, operators};
use crate::ca::{
    AnyPaper, CaError, DEFAULT_DAYS, Hand, Issued, Level, Matter, Office, Paper, Proposal, SecretFrom, Wish,
};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileName {
    /// The systems of a partner.
    Organisation,
    /// A hub, keyholder or witness.
    Server,
    /// A privacy officer or operator.
    Person,
    /// A system that calls its own organisation's agent.
    Local,
}

/// What a certificate is to say.
#[derive(Debug, Args)]
struct WishArgs {
    /// Kind of holder.
    #[arg(value_enum)]
    profile: ProfileName,
    /// Name of the files: NAME.pem, and NAME.key where the key pair is made here.
    file: String,
    /// Name of the organisation, the server or the local system.
    #[arg(long)]
    name: Option<String>,
    /// OIN, 20 digits.
    #[arg(long)]
    oin: Option<String>,
    /// Opaque reference of the person, never a name.
    #[arg(long)]
    person: Option<String>,
    /// DNS name or IP address at which the holder serves; may be given several times.
    #[arg(long = "san")]
    alternatives: Vec<String>,
    /// Validity in days.
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u16,
}

#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    #[command(flatten)]
    wish: WishArgs,
    #[command(flatten)]
    place: Place,
    /// Sign the public key of this PKCS#10 request (PEM) instead of making a key pair.
    #[arg(long)]
    csr: Option<PathBuf>,
    #[command(flatten)]
    opening: Opening,
}

/// The operator's own key.
#[derive(Debug, Args)]
pub(super) struct OperatorKey {
    /// Your own private key, as `sluis ca operator` made it.
    #[arg(long)]
    pub(super) key: PathBuf,
    /// File that only you may read, with the passphrase of your own key; without it you are asked.
    #[arg(long)]
    pub(super) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    /// The holder's signing request (PKCS#10, PEM). The key alone is taken from it.
    request: PathBuf,
    #[command(flatten)]
    wish: WishArgs,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    operator: OperatorKey,
    /// File for the proposal; NAME.proposal in the authority's directory when not given.
    #[arg(long)]
    proposal: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The proposal; the approval is added to it.
    proposal: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    operator: OperatorKey,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The approved proposal.
    proposal: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    opening: Opening,
}

impl WishArgs {
    fn wish(self) -> (String, Wish) {
        let profile = self.profile.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let Self { name, oin, person, alternatives, days, .. } = self;
        (self.file, Wish { profile, name, oin, person, alternatives, days })
    }
}

impl OperatorKey {
    pub(super) fn hand(&self, office: &Office) -> Result<Hand, CaError> {
        Hand::open(office.roster()?, &self.key, &SecretFrom::operator(self.passphrase_file.clone()))
    }
}

pub(super) fn issue(args: IssueArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, Level::Issuing)?;
    let (file, wish) = args.wish.wish();
    let (holder, csr) = (wish.holder()?, args.csr.as_deref());
    // Before anybody is asked for a passphrase.
    office.check_alone(&file, &holder, wish.days, csr, now)?;
    let authority = open(office, &SecretFrom::issuing(args.opening.passphrase_file), out)?;
    let issued = match csr {
        Some(request) => authority.sign(&file, request, &holder, wish.days, now)?,
        None => authority.issue(&file, &holder, wish.days, now)?,
    };
    show(&issued, out)
}

pub(super) fn request(args: RequestArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, Level::Issuing)?;
    let hand = args.operator.hand(&office)?;
    let (file, wish) = args.wish.wish();
    let path = args.proposal.unwrap_or_else(|| args.place.dir.join(format!("{file}.proposal")));
    let paper = Paper::propose(&office, &args.request, (file, wish), &hand, now)?;
    paper.write(&path)?;
    describe(&paper, &office, &path, now, out)?;
    proposed(&path, out)
}

pub(super) fn proposed(path: &Path, out: &mut dyn Write) -> Result<(), CaError> {
    writeln!(out, "next         another operator: sluis ca approve {}", path.display())?;
    Ok(())
}

pub(super) fn approve(args: &ApproveArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, Level::Issuing)?;
    // What is approved is shown before the key for it is asked for.
    match AnyPaper::read(&args.proposal)? {
        AnyPaper::Certificate(paper) => {
            describe(&paper, &office, &args.proposal, now, out)?;
            approved(*paper, &office, args, now, out)
        }
        AnyPaper::Operators(paper) => {
            operators::describe(&paper, &office, &args.proposal, now, out)?;
            approved(*paper, &office, args, now, out)
        }
    }
}

fn approved<M: Matter>(
    paper: Paper<M>,
    office: &Office,
    args: &ApproveArgs,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), CaError> {
    let paper = paper.approve(office, &args.operator.hand(office)?, now)?;
    paper.rewrite(&args.proposal)?;
    writeln!(out, "approved by  {}", paper.signers().1.unwrap_or_default())?;
    writeln!(out, "next         the authority: sluis ca sign {}", args.proposal.display())?;
    Ok(())
}

pub(super) fn sign(args: SignArgs, now: OffsetDateTime, out: &mut dyn Write) -> Result<(), CaError> {
    let office = Office::read(&args.place.dir, Level::Issuing)?;
    let secret = SecretFrom::issuing(args.opening.passphrase_file);
    match AnyPaper::read(&args.proposal)? {
        AnyPaper::Certificate(paper) => {
            paper.check_agreed(&office, now)?;
            show(&open(office, &secret, out)?.sign_paper(&paper, now)?, out)?;
            agreed(&paper, out)
        }
        AnyPaper::Operators(paper) => {
            paper.check_agreed(&office, now)?;
            let change = open(office, &secret, out)?.replace_operators(&paper, now)?;
            operators::show(&change, out)?;
            agreed(&paper, out)
        }
    }
}

fn agreed<M: Matter>(paper: &Paper<M>, out: &mut dyn Write) -> Result<(), CaError> {
    let (proposed, approved) = paper.signers();
    writeln!(out, "operators    {proposed} proposed, {} approved", approved.unwrap_or_default())?;
    Ok(())
}

/// What would be signed.
fn describe(
    paper: &Paper<Proposal>,
    office: &Office,
    file: &Path,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), CaError> {
    let (proposal, holder) = paper.check(office, now)?;
    writeln!(out, "proposal     {}, until {}", file.display(), proposal.until)?;
    writeln!(out, "proposed by  {}", paper.signers().0)?;
    writeln!(out, "profile      {}", holder.word())?;
    writeln!(out, "subject      {}", holder.common_name())?;
    if let Some(oin) = holder.oin() {
        writeln!(out, "OIN          {oin}")?;
    }
    for name in &proposal.wish.alternatives {
        writeln!(out, "also         {name}")?;
    }
    writeln!(out, "key hash     {}", proposal.key_hash)?;
    writeln!(out, "policy       {}", holder.policy())?;
    writeln!(out, "valid        for {} days", proposal.wish.days)?;
    Ok(())
}

fn show(issued: &Issued, out: &mut dyn Write) -> Result<(), CaError> {
    let leaf = &issued.leaf;
    let date = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    writeln!(out, "certificate  {}", issued.chain.display())?;
    if let Some(key) = &issued.key {
        writeln!(out, "private key  {}", key.display())?;
    }
    writeln!(out, "serial       {}", issued.serial)?;
    writeln!(out, "subject      {}", leaf.common_name.as_deref().unwrap_or("-"))?;
    if let Ok(oin) = leaf.oin() {
        writeln!(out, "OIN          {oin}")?;
    }
    writeln!(out, "key hash     {}", leaf.key_hash)?;
    writeln!(out, "fingerprint  {}", leaf.fingerprint)?;
    writeln!(out, "policy       {}", issued.policy)?;
    writeln!(out, "valid        {} to {}", date(leaf.not_before), date(leaf.not_after))?;
    Ok(())
}
