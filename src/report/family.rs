//! What a family reads: who did what with their data, and why, in plain words (covenant, articles 34 and 36).
//!
//! Nothing that stands for a person gets in: no employee, no pseudonym, no name of a case, no motivation, no consent's
//! number. Only what is about the case or youth asked for is taken; of a list in which the case stood, only that it did.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::{Date, OffsetDateTime};

use super::head::stamp;
use super::line::Line;
use super::model::{Cell, Language, Table, row, text};
use super::render::{escaped, rows, table_csv};
use super::setting::{Scope, oin_of};
use crate::api::v1;
use crate::party::{Category, Role};
use crate::wire::Numbered as _;

/// What the overview is to be about.
#[derive(Debug, Clone)]
pub struct Ask {
    /// `cases/{case}`, as the reader's organisation names them.
    pub cases: BTreeSet<String>,
    /// The reader's own log-scope pseudonyms of the youth.
    pub subjects: BTreeSet<String>,
    /// Lists that the log gave for the youth: a case of theirs stood in each, and the event alone does not tell which.
    pub listed: BTreeSet<String>,
    /// First moment.
    pub from: OffsetDateTime,
    /// First moment after it.
    pub until: OffsetDateTime,
    /// As things stood then; what came later is left out.
    pub as_of: OffsetDateTime,
    /// Whose events these are.
    pub scope: Scope,
    /// From the directory.
    pub partners: Vec<v1::Partner>,
    /// Show refusals: only when somebody judged that this harms nobody's safety.
    pub refusals: bool,
    /// Name the events behind every line, for whoever has to answer questions about it.
    pub events: bool,
}

/// One line: what an organisation did on a day, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// In the Netherlands, `2026-11-22`.
    pub day: String,
    /// Name of the organisation, and of the supplier that did it in its name.
    pub organisation: String,
    /// In which role.
    pub role: String,
    /// What it did.
    pub action: String,
    /// With what kind of data.
    pub data: Vec<String>,
    /// Why.
    pub why: String,
    /// Organisations that got it, as far as the reader may see.
    pub shared_with: Vec<String>,
    /// It rested on consent.
    pub consent: bool,
    /// It was an emergency.
    pub emergency: bool,
    /// How often that day.
    pub count: u64,
    /// The events, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// An access overview, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The language of its words.
    pub language: Language,
    /// Its title.
    pub title: String,
    /// First day, in the Netherlands.
    pub from: String,
    /// Last day.
    pub until: String,
    /// As things stood then, RFC 3339.
    pub as_of: String,
    /// Oldest day first.
    pub entries: Vec<Entry>,
    /// What is not in it.
    pub notes: Vec<String>,
}

/// By what lines are the same. It sorts as lines stand.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    day: Date,
    organisation: &'a str,
    via: &'a str,
    role: i32,
    method: &'static str,
    how: How,
    data: BTreeSet<Category>,
    article: u8,
    shared_with: BTreeSet<&'a str>,
    consent: bool,
    emergency: bool,
}

/// How the case comes into an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Itself,
    Listed,
    Refused,
}

/// Makes an overview of what is about the case or youth asked for. The same events in another order give the same lines.
pub fn overview<'a>(events: impl IntoIterator<Item = &'a v1::Event>, ask: &Ask, language: Language) -> Overview {
    let mut lines: BTreeMap<Key<'a>, BTreeSet<&'a str>> = BTreeMap::new();
    for event in events {
        if let Some(key) = key(event, ask) {
            lines.entry(key).or_default().insert(&event.name);
        }
    }
    let entries = lines.into_iter().map(|(key, names)| entry(&key, &names, ask, language)).collect();
    let last = ask.until.min(ask.as_of) - time::Duration::MICROSECOND;
    let title = text("Wie deed wat met uw gegevens", "Who did what with your data");
    Overview {
        language,
        title: title.get(language).to_owned(),
        from: super::day::local(ask.from).to_string(),
        until: super::day::local(last).to_string(),
        as_of: stamp(ask.as_of),
        entries,
        notes: notes(ask, language),
    }
}

/// The line of an event, if it is about what was asked for and may be shown.
fn key<'a>(event: &'a v1::Event, ask: &Ask) -> Option<Key<'a>> {
    let line = Line::read(event)?;
    if line.at < ask.from || line.at >= ask.until || line.at > ask.as_of {
        return None;
    }
    let named = |set: &BTreeSet<String>, name: &String| !name.is_empty() && set.contains(name);
    let itself = named(&ask.cases, &event.case) || named(&ask.subjects, &event.subject);
    let how = match event.outcome() {
        v1::Outcome::Allowed if itself => How::Itself,
        v1::Outcome::Allowed if ask.listed.contains(&event.name) => How::Listed,
        v1::Outcome::Allowed if event.listed.iter().any(|case| named(&ask.cases, case)) => How::Listed,
        v1::Outcome::Refused if itself && ask.refusals => How::Refused,
        _ => return None,
    };
    let method = line.method();
    let shown = how == How::Itself;
    let shares = shown && matches!(method, "Records/PublishRecord" | "Records/AddRecipient");
    let data = match how {
        How::Itself => line.categories().collect(),
        How::Listed => BTreeSet::from([Category::C01]),
        How::Refused => BTreeSet::new(),
    };
    // These name the consent that they change; they do not rest on it.
    let changes_consent = method.starts_with("Consents/");
    Some(Key {
        day: line.day,
        organisation: who(&line),
        via: &event.via,
        role: event.role,
        method: if how == How::Refused { "" } else { method },
        how,
        data,
        article: if how == How::Refused { 0 } else { line.article() },
        shared_with: if shares { line.recipients().collect() } else { BTreeSet::new() },
        consent: shown && !changes_consent && !event.consents.is_empty(),
        emergency: event.emergency,
    })
}

/// Who did it. What the hub does of its own accord is told of whoever comes, or else of whoever goes.
fn who<'a>(line: &Line<'a>) -> &'a str {
    match line.organisation {
        "" => line.recipients().next().unwrap_or_else(|| oin_of(&line.event.source)),
        asked => asked,
    }
}

fn entry(key: &Key<'_>, names: &BTreeSet<&str>, ask: &Ask, language: Language) -> Entry {
    let pick = |(nl, en): words::Both| match language {
        Language::Nl => nl.to_owned(),
        Language::En => en.to_owned(),
    };
    let action = match key.how {
        How::Itself => words::action(key.method).unwrap_or(("deed iets", "did something")),
        How::Listed => {
            ("de zaak stond in een lijst die de organisatie kreeg", "the case stood in a list that it was given")
        }
        How::Refused => ("verzoek geweigerd", "request refused"),
    };
    let system = ("het systeem van de organisatie", "the organisation's system");
    let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
    Entry {
        day: key.day.to_string(),
        organisation: through(named(key.organisation, ask, language), key.via, ask, language),
        role: pick(Role::from_number(key.role).map_or(system, words::role)),
        action: pick(action),
        data: key.data.iter().map(|category| pick(words::category(*category))).collect(),
        why: words::why(key.article).map(pick).unwrap_or_default(),
        shared_with: key.shared_with.iter().map(|oin| named(oin, ask, language)).collect(),
        consent: key.consent,
        emergency: key.emergency,
        count,
        events: if ask.events { names.iter().map(|name| (*name).to_owned()).collect() } else { Vec::new() },
    }
}

/// An organisation that let its supplier do it says so: the supplier's system holds the data too.
fn through(organisation: String, via: &str, ask: &Ask, language: Language) -> String {
    if via.is_empty() {
        return organisation;
    }
    let supplier = named(via, ask, language);
    let words = text(
        format!("{organisation} (via haar leverancier: {supplier})"),
        format!("{organisation} (through its supplier: {supplier})"),
    );
    words.get(language).to_owned()
}

/// An organisation's name; its number where the directory has none.
fn named(oin: &str, ask: &Ask, language: Language) -> String {
    if oin.is_empty() {
        return text("de voorziening zelf", "the service itself").get(language).to_owned();
    }
    let found = ask.partners.iter().find(|partner| oin_of(&partner.name) == oin && !partner.display_name.is_empty());
    let unknown = || text(format!("organisatie {oin}"), format!("organisation {oin}")).get(language).to_owned();
    found.map_or_else(unknown, |partner| partner.display_name.clone())
}

fn notes(ask: &Ask, language: Language) -> Vec<String> {
    let mut notes = vec![
        text(
            "Toestemming: een streepje betekent dat in het logboek niet staat of uw toestemming is gebruikt.",
            "Consent: a dash means that the log does not say whether your consent was used.",
        ),
        text(
            "Namen van medewerkers staan hier niet in. Wilt u meer weten? Vraag het aan de organisatie.",
            "Names of employees are not in this overview. Do you want to know more? Ask the organisation.",
        ),
    ];
    if !ask.refusals {
        notes.push(text(
            "Verzoeken die zijn geweigerd staan hier niet in: toen is er niets gedeeld.",
            "Requests that were refused are not in this overview: nothing was shared then.",
        ));
    }
    if let Scope::Own(_) = ask.scope {
        notes.push(text(
            "De organisatie die dit overzicht maakte, ziet niet alles wat andere organisaties met elkaar deelden.",
            "The organisation that made this overview does not see everything that others shared with each other.",
        ));
    }
    notes.into_iter().map(|note| note.get(language).to_owned()).collect()
}

impl Overview {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let heads = text("Periode: {} tot en met {}", "Period: {} up to and including {}");
        let period = heads.get(self.language).replacen("{}", &self.from, 1).replacen("{}", &self.until, 1);
        let as_of = text("Stand van", "As of");
        let empty = text(
            "In het logboek staat over deze periode niets over u. Regels die zijn gewist of te oud zijn, staan er niet meer in.",
            "The log says nothing about you in this period. What was erased or is too old is not in it any more.",
        );
        let mut out = format!("# {}\n\n{period}  \n", escaped(&self.title));
        out.push_str(&format!("{}: {}\n\n", as_of.get(self.language), self.as_of));
        out.push_str(&rows(&self.table(), self.language, empty.get(self.language)));
        for note in &self.notes {
            out.push_str(&format!("\n{}\n", escaped(note)));
        }
        out
    }

    /// As JSON.
    ///
    /// # Errors
    /// Never for an overview of this module: there is nothing in it that JSON can't hold.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// As CSV.
    pub fn csv(&self) -> String {
        table_csv(&self.table(), self.language)
    }

    fn table(&self) -> Table {
        let mut columns = vec![
            ("Datum", "Date"),
            ("Organisatie", "Organisation"),
            ("Rol", "Role"),
            ("Wat gebeurde er", "What happened"),
            ("Soort gegevens", "Kind of data"),
            ("Waarom", "Why"),
            ("Gedeeld met", "Shared with"),
            ("Met uw toestemming", "With your consent"),
            ("Spoed", "Emergency"),
            ("Aantal keer", "Number of times"),
        ];
        let with_events = self.entries.iter().any(|entry| !entry.events.is_empty());
        if with_events {
            columns.push(("Gebeurtenissen", "Events"));
        }
        let yes = |is: bool| if is { text("ja", "yes") } else { text("nee", "no") };
        let lines = self.entries.iter().map(|e| {
            let mut row = row![
                e.day.as_str(),
                e.organisation.as_str(),
                e.role.as_str(),
                e.action.as_str(),
                e.data.join(", "),
                e.why.as_str(),
                e.shared_with.join(", "),
                if e.consent { yes(true) } else { text("–", "–") },
                yes(e.emergency),
                e.count,
            ];
            if with_events {
                row.push(Cell::from(e.events.join(" ")));
            }
            row
        });
        Table::new((&self.title, &self.title), &columns).with(lines)
    }
}

#[cfg(test)]
mod tests;
