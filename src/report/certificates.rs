//! Q14: what directory and log tell of certificates: ends, warnings, changes, refusals.

use std::collections::BTreeMap;

use time::{Date, Duration};

use super::day::{local, month};
use super::head;
use super::line::Line;
use super::model::{Cell, Code, Level, Report, Table, Text, row, text};
use super::setting::{Setting, oin_of};
use super::usage::status;
use crate::api::v1;
use crate::audit::Action;
use crate::ending::{METHOD, Warning};
use crate::identity::certificate::Leaf;
use crate::reason::Reason;

/// Refusals that tell of a certificate or of a caller that nobody knows.
const REASONS: [Reason; 8] = [
    Reason::CertUntrusted,
    Reason::CertExpired,
    Reason::CertRevoked,
    Reason::CrlStale,
    Reason::CertPolicy,
    Reason::OinMissing,
    Reason::OinMismatch,
    Reason::PartnerUnknown,
];

/// What happened to a registered certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Registered,
    Used,
    Retired,
    Revoked,
}

impl Change {
    fn of(line: &Line<'_>) -> Option<Self> {
        match line.method() {
            // The hub's own word of the first call with it.
            "Registry/RegisterCertificate" if line.event.action == Action::Update.code() => Some(Self::Used),
            "Registry/RegisterCertificate" => Some(Self::Registered),
            "Registry/RetireCertificate" => Some(Self::Retired),
            "Registry/RevokeCertificate" => Some(Self::Revoked),
            _ => None,
        }
    }

    fn words(self) -> Text {
        match self {
            Self::Registered => text("geregistreerd", "registered"),
            Self::Used => text("voor het eerst gebruikt", "used for the first time"),
            Self::Retired => text("einde bepaald na aflossing", "end set after it was replaced"),
            Self::Revoked => text("ingetrokken", "revoked"),
        }
    }
}

/// The last word of the hub that a certificate ends.
#[derive(Clone)]
struct Warned {
    /// When, and which event.
    at: (i64, u128),
    day: Date,
    oin: String,
    key: String,
    warning: Warning,
}

/// Counts refusals for the certificate and changes of the register, and keeps what the hub said of certificates that end.
#[derive(Default)]
pub(super) struct Certificates {
    requests: u64,
    refused: BTreeMap<(String, String, String), u64>,
    changed: BTreeMap<(String, String, Change), u64>,
    /// By the key of the certificate.
    warned: BTreeMap<String, Warned>,
    /// Warnings of which it was erased what they said.
    unreadable: u64,
    /// When an organisation last began to use a key.
    renewed: BTreeMap<String, i64>,
}

impl Certificates {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        self.requests += 1;
        let month = || month(line.day);
        if REASONS.iter().any(|reason| reason.code() == line.event.reason) {
            let key = (month(), line.event.reason.clone(), line.organisation.to_owned());
            *self.refused.entry(key).or_default() += 1;
        }
        if !line.is_allowed() {
            return;
        }
        let source = oin_of(&line.event.source);
        if let Some(change) = Change::of(line) {
            *self.changed.entry((month(), source.to_owned(), change)).or_default() += 1;
            if change == Change::Used {
                let last = self.renewed.entry(source.to_owned()).or_default();
                *last = line.micros.max(*last);
            }
        }
        if line.event.method == METHOD && line.event.action == Action::Execute.code() && line.organisation.is_empty() {
            self.warn(line, source);
        }
    }

    fn warn(&mut self, line: &Line<'_>, oin: &str) {
        let Ok(warning) = line.event.motivation.parse() else {
            self.unreadable += 1;
            return;
        };
        let (at, key) = ((line.micros, line.id), line.event.key_hash.clone());
        let said = Warned { at, day: line.day, oin: oin.to_owned(), key: key.clone(), warning };
        // A key that was erased is told apart by its event.
        let key = if key.is_empty() { line.event.name.clone() } else { key };
        let known = self.warned.entry(key).or_insert_with(|| said.clone());
        if known.at < at {
            *known = said;
        }
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q14, setting);
        report.lacks(text(
            "Het partnerregister noemt alleen het certificaat waarmee een partij haar sleutels publiceerde. Van andere certificaten is \
             het einde pas bekend vanaf de eerste waarschuwing van de hub, 90 dagen ervoor. Welke sleutel geregistreerd, ingetrokken \
             of afgelost is, en de ouderdom van CRL's zijn niet bekend; een mislukte TLS-verbinding geeft geen gebeurtenis.",
            "The directory names only the certificate with which a partner published its keys. The end of other certificates is known \
             only from the hub's first warning on, 90 days before it. Which key was registered, revoked or replaced, and the age of \
             CRLs are not known; a failed TLS connection leaves no event.",
        ));
        if self.unreadable > 0 {
            let nl = format!("Van {} waarschuwingen is gewist wat zij zeiden.", self.unreadable);
            report.lacks(text(nl, format!("What {} warnings said was erased.", self.unreadable)));
        }
        let refused: u64 = self.refused.values().sum();
        let bad = text(
            format!("{refused} keer geweigerd om het certificaat of een onbekende partij"),
            format!("refused {refused} times for the certificate or an unknown party"),
        );
        let good = text("geen weigeringen om het certificaat", "no refusals for the certificate");
        if self.requests > 0 {
            report.judge(refused, Level::Amber, bad, good);
        }
        let before = report.signals.len();
        let warned = warnings(&self.warned, &self.renewed, setting, &mut report);
        let is_warned = report.signals.len() > before;
        expiry(setting, &mut report, is_warned);
        let columns = [("Maand", "Month"), ("Reden", "Reason"), ("Partij", "Partner"), ("Aantal", "Count")];
        let rows =
            self.refused.into_iter().map(|((month, reason, oin), count)| row![month, reason, setting.who(&oin), count]);
        report.tables.push(Table::new(("Weigeringen", "Refusals"), &columns).with(rows));
        let columns = [("Maand", "Month"), ("Partij", "Partner"), ("Wat", "What"), ("Aantal", "Count")];
        let rows = self
            .changed
            .into_iter()
            .map(|((month, oin, change), count)| row![month, setting.who(&oin), change.words(), count]);
        report.tables.push(Table::new(("Wijzigingen", "Changes"), &columns).with(rows));
        report.tables.push(warned);
        report
    }
}

/// What the hub warned of, and a signal for each that ends soon.
fn warnings(
    warned: &BTreeMap<String, Warned>,
    renewed: &BTreeMap<String, i64>,
    setting: &Setting,
    report: &mut Report,
) -> Table {
    let mut warned: Vec<&Warned> = warned.values().collect();
    warned.sort_unstable_by_key(|said| (said.warning.end, said.at));
    let mut rows = Vec::new();
    for said in warned {
        let who = setting.who(&said.oin);
        let is_renewed = renewed.get(&said.oin).is_some_and(|at| *at > said.at.0);
        let left = said.warning.end - setting.as_of;
        if let Some(level) = urgency(setting, left) {
            let days = left.whole_days();
            // Which key took which one's place the log does not say: that there is a new one makes it less urgent, not green.
            let level = if is_renewed { level.min(Level::Amber) } else { level };
            let nl = format!("{who}: de hub waarschuwde dat een certificaat over {days} dagen verloopt");
            report.signal(level, text(nl, format!("{who}: the hub warned that a certificate ends in {days} days")));
        }
        let since = if is_renewed { text("ja", "yes") } else { text("nee", "no") };
        let key: String = said.key.chars().take(16).collect();
        let (step, end) = (said.warning.step.days().to_string(), local(said.warning.end));
        rows.push(row![who, key, end, said.day, step, since]);
    }
    let columns = [
        ("Partij", "Partner"),
        ("Sleutel", "Key"),
        ("Certificaat tot", "Certificate until"),
        ("Gewaarschuwd op", "Warned on"),
        ("Dagen ervoor", "Days before"),
        ("Sindsdien een nieuw certificaat in gebruik", "A new certificate in use since"),
    ];
    Table::new(("Waarschuwingen", "Warnings"), &columns).with(rows)
}

/// The certificates in the directory, and those that end soon.
fn expiry(setting: &Setting, report: &mut Report, is_warned: bool) {
    if setting.partners.is_empty() {
        report.lacks(text("Het partnerregister is niet gelezen.", "The directory was not read."));
        return;
    }
    let mut partners: Vec<&v1::Partner> = setting.partners.iter().collect();
    partners.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let (mut known, mut soon) = (false, is_warned);
    for partner in partners {
        let who = setting.who(oin_of(&partner.name));
        let leaf = partner.keys.as_ref().and_then(|keys| keys.certificate_chain.first());
        let end = leaf.and_then(|der| Leaf::read(der).ok()).map(|leaf| leaf.not_after);
        known |= end.is_some();
        let left = end.map(|end| end - setting.as_of);
        if let Some(level) =
            left.filter(|_| partner.status() == v1::PartnerStatus::Active).and_then(|l| urgency(setting, l))
        {
            soon = true;
            let days = left.unwrap_or_default().whole_days();
            let nl = format!("{who}: certificaat verloopt over {days} dagen");
            report.signal(level, text(nl, format!("{who}: certificate ends in {days} days")));
        }
        let end = end.map_or_else(|| "–".to_owned(), |end| local(end).to_string());
        rows.push(row![who, status(partner.status()), end]);
    }
    if known && !soon {
        let days = setting.terms.review.certificate_amber_days;
        let nl = format!("geen bekend certificaat verloopt binnen {days} dagen");
        report.signal(Level::Green, text(nl, format!("no known certificate ends within {days} days")));
    }
    let columns = [("Partij", "Partner"), ("Stand", "Status"), ("Certificaat tot", "Certificate until")];
    report.tables.push(Table::new(("Partijen", "Partners"), &columns).with(rows));
}

/// How urgent it is that a certificate ends after this time; one that has ended is urgent too.
fn urgency(setting: &Setting, left: Duration) -> Option<Level> {
    let within = |days: u16| left < Duration::days(i64::from(days));
    if within(setting.terms.review.certificate_red_days) {
        Some(Level::Red)
    } else if within(setting.terms.review.certificate_amber_days) {
        Some(Level::Amber)
    } else {
        None
    }
}
