//! Q5 and Q6: consent as it was recorded, missed and withdrawn, and how soon disclosure stopped.

use std::collections::BTreeMap;

use time::{Date, Duration};

use super::day::local;
use super::head;
use super::line::Line;
use super::model::{Code, Level, Report, Table, row, text};
use super::setting::Setting;
use crate::clock::from_micros;
use crate::covenant::consent::add_months;
use crate::reason::Reason;

/// Refusals that tell of consent.
const REASONS: [Reason; 5] = [
    Reason::ConsentMissing,
    Reason::ConsentIncomplete,
    Reason::ConsentExpired,
    Reason::ConsentWithdrawn,
    Reason::RegimeChanged,
];

/// What the log tells of one consent.
#[derive(Default)]
struct Consent {
    recorded: Option<i64>,
    withdrawn: Option<Withdrawal>,
    /// When something last rested on it.
    used: Option<i64>,
}

struct Withdrawal {
    micros: i64,
    organisation: String,
    case: String,
    told: u64,
    counted: bool,
}

/// Keeps a few moments of every consent, and counts.
#[derive(Default)]
pub(super) struct Consents {
    consents: BTreeMap<String, Consent>,
    changes: BTreeMap<String, (u64, u64)>,
    refused: BTreeMap<(String, String), u64>,
    restrictions: BTreeMap<(i64, u128), (Date, String, String)>,
    requests: u64,
}

impl Consents {
    pub(super) fn add(&mut self, line: &Line<'_>, counted: bool) {
        self.requests += u64::from(counted);
        let organisation = || line.organisation.to_owned();
        if line.is_refused() && counted && REASONS.iter().any(|reason| reason.code() == line.event.reason) {
            *self.refused.entry((organisation(), line.event.reason.clone())).or_default() += 1;
        }
        if !line.is_allowed() {
            return;
        }
        match line.method() {
            "Consents/RecordConsent" => {
                self.changes.entry(organisation()).or_default().0 += u64::from(counted);
                self.each(line, |consent| {
                    consent.recorded = Some(consent.recorded.map_or(line.micros, |before| before.min(line.micros)));
                });
            }
            "Consents/WithdrawConsent" => {
                self.changes.entry(organisation()).or_default().1 += u64::from(counted);
                self.each(line, |consent| withdraw(consent, line, counted));
            }
            "Cases/RestrictCase" if counted => {
                let what = (line.day, organisation(), line.event.case.clone());
                self.restrictions.insert((line.micros, line.id), what);
            }
            "Consents/ListConsents" => {}
            _ => self.each(line, |consent| consent.used = consent.used.max(Some(line.micros))),
        }
    }

    /// Changes the consents that an event names.
    fn each(&mut self, line: &Line<'_>, mut change: impl FnMut(&mut Consent)) {
        for id in &line.event.consents {
            change(self.consents.entry(id.clone()).or_default());
        }
    }

    /// Q5.
    pub(super) fn health(&self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q5, setting);
        if self.requests == 0 {
            return report
                .missing(text("Er zijn in deze periode geen verzoeken.", "There are no requests in this period."));
        }
        report.lacks(text(
            format!(
                "Uitzonderingen op de leeftijdsregels (grens {} %) en leeftijdswissels die eraan komen staan niet in het log.",
                setting.terms.review.consent_exception_percent
            ),
            format!(
                "Exceptions to the rules of age (threshold {} %) and coming changes of age band do not stand in the log.",
                setting.terms.review.consent_exception_percent
            ),
        ));
        let columns = [("Partij", "Partner"), ("Vastgelegd", "Recorded"), ("Ingetrokken", "Withdrawn")];
        let changed = self.changes.iter().filter(|(_, counts)| **counts != (0, 0));
        let rows = changed.map(|(oin, (recorded, withdrawn))| row![setting.who(oin), *recorded, *withdrawn]);
        report.tables.push(Table::new(("Toestemmingen", "Consents"), &columns).with(rows));
        let columns = [("Partij", "Partner"), ("Reden", "Reason"), ("Aantal", "Count")];
        let rows = self.refused.iter().map(|((oin, reason), count)| row![setting.who(oin), reason.as_str(), *count]);
        report.tables.push(Table::new(("Geweigerd om toestemming", "Refused for consent"), &columns).with(rows));
        let refused: u64 = self.refused.values().sum();
        let nl = format!("{refused} verzoeken geweigerd omdat toestemming ontbrak of niet meer gold");
        let en = format!("{refused} requests refused because consent was missing or no longer held");
        let good = text("geen weigeringen om toestemming", "no refusals for consent");
        report.judge(refused, Level::Amber, text(nl, en), good);
        self.ending(setting, &mut report);
        report
    }

    /// Consents that end soon, at the latest.
    fn ending(&self, setting: &Setting, report: &mut Report) {
        let days = setting.terms.review.consent_expiring_days;
        let today = local(setting.as_of);
        let last = today.saturating_add(Duration::days(i64::from(days)));
        let months = u16::from(setting.terms.consent_months);
        let end = |consent: &Consent| add_months(local(from_micros(consent.recorded?)), months);
        let open = self.consents.iter().filter(|(_, consent)| consent.withdrawn.is_none());
        let ends = open.filter_map(|(id, consent)| Some((end(consent)?, id)));
        let mut soon: Vec<(Date, &String)> = ends.filter(|(end, _)| (today..=last).contains(end)).collect();
        soon.sort_unstable();
        let count = u64::try_from(soon.len()).unwrap_or(u64::MAX);
        let nl = format!("{count} toestemmingen lopen binnen {days} dagen af");
        let bad = text(nl, format!("{count} consents end within {days} days"));
        if count > 0 {
            report.signal(Level::Amber, bad);
        }
        let columns = [("Uiterlijk tot", "At the latest until"), ("Toestemming", "Consent")];
        let rows = soon.into_iter().map(|(end, id)| row![end, id.as_str()]);
        report.tables.push(Table::new(("Loopt binnenkort af", "Ends soon"), &columns).with(rows));
        report.notes.push(text(
            format!("Een toestemming geldt ten hoogste {months} maanden; een eerder einde staat niet in het log."),
            format!("A consent holds at most {months} months; an earlier end does not stand in the log."),
        ));
    }

    /// Q6.
    pub(super) fn withdrawals(&self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q6, setting);
        if self.requests == 0 {
            return report
                .missing(text("Er zijn in deze periode geen verzoeken.", "There are no requests in this period."));
        }
        report.lacks(text(
            "Of ontvangers het bericht hebben bevestigd, en of RestrictCase een bezwaar of een beperking was en aan of uit ging, \
             staat niet in het log.",
            "Whether recipients acknowledged the notice, and whether RestrictCase was an objection or a restriction and went on \
             or off, does not stand in the log.",
        ));
        self.stopped(setting, &mut report);
        let columns = [("Dag", "Day"), ("Partij", "Partner"), ("Casus", "Case")];
        let rows = self.restrictions.values().map(|(day, oin, case)| row![*day, setting.who(oin), case.as_str()]);
        report.tables.push(Table::new(("Bezwaren en beperkingen", "Objections and restrictions"), &columns).with(rows));
        report
    }

    /// How soon disclosure stopped after each withdrawal.
    fn stopped(&self, setting: &Setting, report: &mut Report) {
        let limit = i64::from(setting.terms.review.withdrawal_stop_seconds);
        let known = self.consents.iter().filter_map(|(id, c)| Some((c.withdrawn.as_ref()?, id, c.used)));
        let mut known: Vec<_> = known.filter(|(withdrawal, ..)| withdrawal.counted).collect();
        known.sort_unstable_by_key(|(withdrawal, id, _)| (withdrawal.micros, *id));
        let after = |withdrawal: &Withdrawal, used: Option<i64>| {
            used.map(|used| used - withdrawal.micros).filter(|after| *after > 0)
        };
        let is_told = self.consents.values().any(|consent| consent.used.is_some());
        if !is_told {
            // Silence is no proof that nothing was disclosed.
            report.lacks(text(
                "Op welke toestemming een verstrekking rustte staat niet in het log: of na intrekking is gestopt, is hieruit niet te zien.",
                "On which consent a disclosure rested is not in the log: whether it stopped after a withdrawal can't be seen from it.",
            ));
        }
        if !known.is_empty() && is_told {
            let is_late = |after: i64| after > limit * 1_000_000;
            let late =
                known.iter().filter(|(withdrawal, _, used)| after(withdrawal, *used).is_some_and(is_late)).count();
            let nl = format!("langer dan {limit} s na intrekking nog verstrekt: {late} keer");
            let en = format!("disclosed more than {limit} s after withdrawal: {late} times");
            let good = text("na intrekking is op tijd gestopt", "disclosure stopped in time after withdrawal");
            report.judge(u64::try_from(late).unwrap_or(u64::MAX), Level::Red, text(nl, en), good);
        }
        let columns = [
            ("Dag", "Day"),
            ("Partij", "Partner"),
            ("Casus", "Case"),
            ("Toestemming", "Consent"),
            ("Ingelicht", "Told"),
            ("Gestopt na", "Stopped after"),
        ];
        let rows = known.into_iter().map(|(withdrawal, id, used)| {
            let nothing = || if is_told { text("niets daarna", "nothing after it") } else { text("–", "–") };
            let stopped = after(withdrawal, used).map_or_else(nothing, seconds);
            let (day, who) = (local(from_micros(withdrawal.micros)), setting.who(&withdrawal.organisation));
            row![day, who, withdrawal.case.as_str(), id.as_str(), withdrawal.told, stopped]
        });
        report.tables.push(Table::new(("Intrekkingen", "Withdrawals"), &columns).with(rows));
    }
}

/// The first withdrawal counts: a second one changes nothing.
fn withdraw(consent: &mut Consent, line: &Line<'_>, counted: bool) {
    let told = u64::try_from(line.event.recipients.len()).unwrap_or(u64::MAX);
    match &mut consent.withdrawn {
        Some(known) if known.micros <= line.micros => known.told = known.told.max(told),
        known => {
            let told = known.as_ref().map_or(told, |later| later.told.max(told));
            *known = Some(Withdrawal {
                micros: line.micros,
                organisation: line.organisation.to_owned(),
                case: line.event.case.clone(),
                told,
                counted,
            });
        }
    }
}

/// Whole seconds, rounded up: a millisecond late is late.
fn seconds(micros: i64) -> super::model::Text {
    let seconds = micros / 1_000_000 + i64::from(micros % 1_000_000 > 0);
    text(format!("{seconds} s"), format!("{seconds} s"))
}
