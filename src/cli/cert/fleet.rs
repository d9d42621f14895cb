//! `sluis cert list`, `expiring`, `migrate-status` and `forecast`: the certificates of all organisations, for operators.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::CertError;
use crate::api::v1;
use crate::api::v1::directory_client::DirectoryClient;
use crate::api::v1::registry_client::RegistryClient;
use crate::cli::remote::{RemoteArgs, RemoteError, done};
use crate::fleet::{Certificate, Counts, Fleet, Inventory, MONTHS, Organisation, Place, Progress, State, svg};
use crate::party::Oin;

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Every registered certificate, of all organisations. Needs an operator's certificate, as the three that follow do.
    List {
        #[command(flatten)]
        remote: RemoteArgs,
        /// Only of this organisation, 20 digits.
        #[arg(long)]
        oin: Option<Oin>,
        /// Only in this state: announced, active, retiring, retired or revoked; may be repeated.
        #[arg(long = "state")]
        states: Vec<State>,
    },
    /// Those that end soon or have ended, and have no successor in use. Exit code 1 when there are any.
    Expiring {
        #[command(flatten)]
        remote: RemoteArgs,
        /// Days that are left at most.
        #[arg(long, default_value_t = 90)]
        days: u16,
    },
    /// Which organisation is under which root, and how far each is with moving to another. What is revoked or retired does not
    /// count.
    MigrateStatus(MigrateArgs),
    /// How many have to be renewed in each of the coming 24 months (UTC).
    Forecast {
        #[command(flatten)]
        remote: RemoteArgs,
        /// Write it to this file as a picture, too.
        #[arg(long)]
        svg: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// A set of anchors that everybody is to leave, or a piece of an issuer's name; may be repeated.
    #[arg(long, requires = "to")]
    from: Vec<String>,
    /// A set of anchors that everybody is to move to, or a piece of an issuer's name; may be repeated.
    #[arg(long, requires = "from")]
    to: Vec<String>,
}

/// Carries out one command.
pub(super) async fn run(
    command: FleetCommand,
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), CertError> {
    match command {
        FleetCommand::List { remote, oin, states } => {
            let fleet = read(&remote, oin.as_ref().map_or("", Oin::as_str), now).await?;
            let is_asked = |one: &&Certificate| states.is_empty() || states.contains(&one.state);
            list(&fleet, &fleet.certificates.iter().filter(is_asked).collect::<Vec<_>>(), json, now, out)
        }
        FleetCommand::Expiring { remote, days } => {
            let fleet = read(&remote, "", now).await?;
            let ending = fleet.ending(now, days);
            list(&fleet, &ending, json, now, out)?;
            if ending.is_empty() { Ok(()) } else { Err(CertError::Ending(ending.len(), days)) }
        }
        FleetCommand::MigrateStatus(args) => {
            let fleet = read(&args.remote, "", now).await?;
            migration(&fleet, &args, json, out)
        }
        FleetCommand::Forecast { remote, svg } => {
            let fleet = read(&remote, "", now).await?;
            forecast(&fleet, svg.as_deref(), json, now, out)
        }
    }
}

/// The register and the directory, page by page.
async fn read(remote: &RemoteArgs, oin: &str, now: OffsetDateTime) -> Result<Fleet, RemoteError> {
    let channel = remote.channel(now).await?;
    let mut registry = RegistryClient::new(channel.clone());
    let mut request = v1::ListCertificatesRequest { oin: oin.to_owned(), ..Default::default() };
    let mut certificates = Vec::new();
    loop {
        let page = done("listing certificates", registry.list_certificates(request.clone()).await)?;
        certificates.extend(page.certificates);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let partners = partners(DirectoryClient::new(channel)).await?;
    // Whoever asks for one means that one, also when it has left.
    Ok(if oin.is_empty() { Fleet::of(&certificates, &partners) } else { Fleet::with_all(&certificates, &partners) })
}

async fn partners(mut directory: DirectoryClient<tonic::transport::Channel>) -> Result<Vec<v1::Partner>, RemoteError> {
    let (mut all, mut request) = (Vec::new(), v1::ListPartnersRequest::default());
    loop {
        let page = done("reading the directory", directory.list_partners(request.clone()).await)?;
        all.extend(page.partners);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

fn list(
    fleet: &Fleet,
    shown: &[&Certificate],
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), CertError> {
    if json {
        let all: Value = shown.iter().map(|one| as_json(one, now)).collect();
        return Ok(writeln!(out, "{}", json!({ "certificates": all, "unread": fleet.unread }))?);
    }
    let head = ["ends", "days", "state", "organisation", "holder", "system", "set", "key"];
    let rows = shown.iter().map(|one| {
        let holder = match (one.person.as_str(), one.via.as_str()) {
            ("", "") => one.holder.clone(),
            ("", via) => format!("supplier {via} on behalf of it"),
            (person, _) => format!("{} {person}", one.holder),
        };
        let ends = day(one.end);
        let state = one.state.code().to_owned();
        let (days, who) = (one.days_left(now).to_string(), who(&one.oin, &one.name));
        vec![ends, days, state, who, holder, one.system.clone(), one.set.clone(), one.key_hash.clone()]
    });
    table(&head, rows, out)?;
    writeln!(out, "{} certificates", shown.len())?;
    unread(fleet, out)
}

fn as_json(one: &Certificate, now: OffsetDateTime) -> Value {
    let moment = |at: Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
    json!({
        "keyHash": one.key_hash, "oin": one.oin, "name": one.name, "holder": one.holder, "personRef": one.person,
        "via": one.via,
        "system": one.system, "state": one.state.code(), "set": one.set, "issuer": one.issuer,
        "expireTime": moment(Some(one.end)), "useTime": moment(one.used), "retireTime": moment(one.retires),
        "daysLeft": one.days_left(now),
    })
}

fn migration(fleet: &Fleet, args: &MigrateArgs, json: bool, out: &mut dyn Write) -> Result<(), CertError> {
    let inventory = fleet.inventory();
    let progress = if args.from.is_empty() { Vec::new() } else { inventory.progress(&args.from, &args.to) };
    if json {
        let organisations: Value = inventory.organisations.iter().map(standing).collect();
        let progress: Value = progress
            .iter()
            .map(|(how, one)| json!({ "oin": one.oin, "name": one.name, "progress": how.code() }))
            .collect();
        let said = json!({ "organisations": organisations, "progress": progress, "unread": fleet.unread });
        return Ok(writeln!(out, "{said}")?);
    }
    if args.from.is_empty() {
        matrix(&inventory, out)?;
        announced(fleet, out)?;
    } else {
        for (option, names) in [("from", &args.from), ("to", &args.to)] {
            let is_known =
                |name: &String| inventory.places.iter().any(|place| place.is_named(std::slice::from_ref(name)));
            for name in names.iter().filter(|name| !is_known(name)) {
                writeln!(out, "! --{option} {}: nothing in force is there", crate::cli::plain(name))?;
            }
        }
        moving(&progress, out)?;
        unplaced(&inventory, args, out)?;
    }
    unread(fleet, out)
}

fn standing(one: &Organisation) -> Value {
    let at = one.at.iter().map(|(place, counts)| {
        let Counts { announced, active, retiring } = counts;
        json!({ "set": place.set, "issuer": place.issuer, "announced": announced, "active": active, "retiring": retiring })
    });
    json!({ "oin": one.oin, "name": one.name, "at": at.collect::<Value>() })
}

/// Organisations by places. Issuers have long names, so each place has a number.
fn matrix(inventory: &Inventory, out: &mut dyn Write) -> Result<(), CertError> {
    let places: Vec<&Place> = inventory.places.iter().collect();
    for (nth, place) in (1..).zip(&places) {
        let issuer = if place.issuer.is_empty() { "issuer not known" } else { &place.issuer };
        let set = place.set.as_deref().unwrap_or("set not known");
        let only = inventory.only_at(place).count();
        writeln!(
            out,
            "{nth}  {}  {}: {only} organisations only here",
            crate::cli::plain(set),
            crate::cli::plain(issuer)
        )?;
    }
    let numbers: Vec<String> = (1..).take(places.len()).map(|nth: usize| nth.to_string()).collect();
    let head: Vec<&str> = std::iter::once("organisation").chain(numbers.iter().map(String::as_str)).collect();
    let rows = inventory.organisations.iter().map(|one| {
        let cells = places.iter().map(|place| one.at.get(*place).map(in_words).unwrap_or_default());
        std::iter::once(who(&one.oin, &one.name)).chain(cells).collect()
    });
    writeln!(out)?;
    table(&head, rows, out)?;
    Ok(())
}

fn in_words(counts: &Counts) -> String {
    let counts = [(counts.announced, "announced"), (counts.active, "active"), (counts.retiring, "retiring")];
    let said: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
    said.join(", ")
}

fn moving(progress: &[(Progress, &Organisation)], out: &mut dyn Write) -> Result<(), CertError> {
    for how in Progress::ALL {
        let words = match how {
            Progress::Only => "still only on the old one",
            Progress::Announced => "announced on the new one, not used yet",
            Progress::Both => "on both",
            Progress::Moved => "moved",
            Progress::Neither => "on neither",
        };
        let theirs: Vec<&&Organisation> = progress.iter().filter(|(own, _)| own == how).map(|(_, one)| one).collect();
        writeln!(out, "{words}: {}", theirs.len())?;
        for one in theirs {
            writeln!(out, "  {}", crate::cli::plain(&who(&one.oin, &one.name)))?;
        }
    }
    Ok(())
}

/// Issuers of certificates that nobody has called with: they may well be where everybody is to go.
fn unplaced(inventory: &Inventory, args: &MigrateArgs, out: &mut dyn Write) -> Result<(), CertError> {
    let is_open = |place: &&Place| place.set.is_none() && !place.is_named(&args.from) && !place.is_named(&args.to);
    for place in inventory.places.iter().filter(is_open) {
        let issuer = crate::cli::plain(&place.issuer);
        if issuer.is_empty() {
            writeln!(
                out,
                "! of some neither set nor issuer is known: migrate-status without --from says whose they are"
            )?;
        } else {
            writeln!(
                out,
                "! nobody has called with a certificate of {issuer}: its set is not known; name it, with --from or --to"
            )?;
        }
    }
    Ok(())
}

/// Who has a new certificate in the register and has not called with it.
fn announced(fleet: &Fleet, out: &mut dyn Write) -> Result<(), CertError> {
    let waiting: Vec<&Certificate> = fleet.certificates.iter().filter(|one| one.state == State::Announced).collect();
    writeln!(out, "\nannounced and not used yet: {} certificates", waiting.len())?;
    for one in waiting {
        let who = who(&one.oin, &one.name);
        writeln!(out, "  {}  {}  {}", crate::cli::plain(&who), one.key_hash, crate::cli::plain(&one.issuer))?;
    }
    Ok(())
}

fn forecast(
    fleet: &Fleet,
    file: Option<&Path>,
    json: bool,
    now: OffsetDateTime,
    out: &mut dyn Write,
) -> Result<(), CertError> {
    let forecast = fleet.forecast(now);
    if let Some(file) = file {
        std::fs::write(file, svg(&forecast)).map_err(|error| CertError::Unwritable(file.to_owned(), error))?;
    }
    if json {
        let months = forecast.months.iter().map(
            |month| json!({ "month": month.name, "renewals": month.renewals, "organisations": month.organisations }),
        );
        let (ended, later) = (forecast.ended, forecast.later);
        let said =
            json!({ "ended": ended, "months": months.collect::<Value>(), "later": later, "unread": fleet.unread });
        return Ok(writeln!(out, "{said}")?);
    }
    let rows = forecast.months.iter().map(|month| {
        let bar = "#".repeat(month.renewals.min(60));
        vec![month.name.clone(), month.renewals.to_string(), month.organisations.to_string(), bar]
    });
    table(&["month", "renewals", "organisations", ""], rows, out)?;
    writeln!(out, "ended already: {}; later than these {MONTHS} months: {}", forecast.ended, forecast.later)?;
    unread(fleet, out)
}

fn unread(fleet: &Fleet, out: &mut dyn Write) -> Result<(), CertError> {
    if fleet.unread > 0 {
        writeln!(out, "! {} more say what this version does not understand: take a newer one", fleet.unread)?;
    }
    Ok(())
}

fn who(oin: &str, name: &str) -> String {
    format!("{oin} {name}").trim_end().to_owned()
}

fn day(at: OffsetDateTime) -> String {
    at.date().to_string()
}

/// Columns as wide as what stands in them.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>, out: &mut dyn Write) -> std::io::Result<()> {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let harmless = |row: Vec<String>| -> Vec<String> { row.iter().map(|cell| crate::cli::plain(cell)).collect() };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows.map(harmless)).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let long = |cell: Option<&String>| cell.map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|nth| rows.iter().map(|row| long(row.get(nth))).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
