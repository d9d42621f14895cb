//! Q2: refusals per reason and partner, their share of all requests, and whoever tries again and again.

use std::collections::{BTreeMap, BTreeSet};

use time::Date;

use super::day::month;
use super::head;
use super::line::Line;
use super::model::{Code, Level, Report, Table, exceeds, row, share, text};
use super::setting::{Scope, Setting};
use crate::api::v1;
use crate::reason::Reason;

/// Requests, refused, failed.
#[derive(Clone, Copy, Default)]
struct Count {
    all: u64,
    refused: u64,
    failed: u64,
}

/// Counts requests and refusals.
#[derive(Default)]
pub(super) struct Denials {
    months: BTreeMap<(String, String), Count>,
    reasons: BTreeMap<(String, String), u64>,
    outside: BTreeMap<(String, String, Date), u64>,
}

impl Denials {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        let organisation = || line.organisation.to_owned();
        let count = self.months.entry((organisation(), month(line.day))).or_default();
        count.all += 1;
        count.failed += u64::from(line.event.outcome() == v1::Outcome::Failed);
        if !line.is_refused() {
            return;
        }
        count.refused += 1;
        *self.reasons.entry((organisation(), line.event.reason.clone())).or_default() += 1;
        // An officer of a partner sees one word for both; so both count for the network's officer too.
        let outside =
            [Reason::NotInvolved, Reason::CaseUnknown].iter().any(|reason| reason.code() == line.event.reason);
        if outside && !line.event.user_ref.is_empty() {
            *self.outside.entry((organisation(), line.event.user_ref.clone(), line.day)).or_default() += 1;
        }
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q2, setting);
        if self.months.is_empty() {
            return report
                .missing(text("Er zijn in deze periode geen verzoeken.", "There are no requests in this period."));
        }
        self.shares(setting, &mut report);
        self.probing(setting, &mut report);
        let columns = [("Partij", "Partner"), ("Reden", "Reason"), ("Aantal", "Count")];
        let rows = self.reasons.iter().map(|((oin, reason), count)| row![setting.who(oin), reason.as_str(), *count]);
        report.tables.push(Table::new(("Per reden", "Per reason"), &columns).with(rows));
        self.trend(setting, &mut report);
        if let Scope::Own(_) = setting.scope {
            report.notes.push(text(
                "Van andere partijen ziet u alleen verzoeken die uw organisatie raken; hun aandeel is daarvan.",
                "Of other partners you see only requests that concern your organisation; their share is of those.",
            ));
        }
        report
    }

    fn shares(&self, setting: &Setting, report: &mut Report) {
        let percent = setting.terms.review.denial_share_percent;
        let mut totals: BTreeMap<&str, Count> = BTreeMap::new();
        for ((oin, _), count) in &self.months {
            let total = totals.entry(oin).or_default();
            total.all += count.all;
            total.refused += count.refused;
        }
        let over: Vec<_> = totals.iter().filter(|(_, c)| exceeds(c.refused, c.all, percent)).collect();
        for (oin, count) in &over {
            let (who, part) = (setting.who(oin), share(count.refused, count.all));
            let nl = format!("{who}: {part} % van de verzoeken geweigerd (grens {percent} %)");
            let en = format!("{who}: {part} % of the requests refused (threshold {percent} %)");
            report.signal(Level::Amber, text(nl, en));
        }
        if over.is_empty() {
            let nl = format!("geen partij met meer dan {percent} % weigeringen");
            report.signal(Level::Green, text(nl, format!("no partner with more than {percent} % refused")));
        }
    }

    fn probing(&self, setting: &Setting, report: &mut Report) {
        let least = u64::from(setting.terms.review.not_involved_per_day);
        let over: Vec<_> = self.outside.iter().filter(|(_, count)| **count >= least).collect();
        if over.is_empty() {
            let nl = format!("geen medewerker met {least} keer of vaker NOT_INVOLVED op een dag");
            let en = format!("no employee with NOT_INVOLVED {least} times or more on one day");
            report.signal(Level::Green, text(nl, en));
        } else {
            let count: BTreeSet<_> = over.iter().map(|((oin, user, _), _)| (oin, user)).collect();
            let nl = format!("{} medewerker(s) met {least} keer of vaker NOT_INVOLVED op een dag", count.len());
            let en = format!("{} employee(s) with NOT_INVOLVED {least} times or more on one day", count.len());
            report.signal(Level::Red, text(nl, en));
        }
        let columns = [("Dag", "Day"), ("Partij", "Partner"), ("Medewerker", "Employee"), ("Aantal", "Count")];
        let rows =
            over.into_iter().map(|((oin, user, day), count)| row![*day, setting.who(oin), user.as_str(), *count]);
        report.tables.push(Table::new(("Herhaald niet betrokken", "Repeatedly not involved"), &columns).with(rows));
        report.notes.push(text(
            "Een verzoek om een onbekende casus (CASE_UNKNOWN) telt als NOT_INVOLVED. Alleen medewerkers die u mag zien tellen mee.",
            "A request for an unknown case (CASE_UNKNOWN) counts as NOT_INVOLVED. Only employees whom you may see are counted.",
        ));
    }

    fn trend(&self, setting: &Setting, report: &mut Report) {
        let columns = [
            ("Partij", "Partner"),
            ("Maand", "Month"),
            ("Verzoeken", "Requests"),
            ("Geweigerd", "Refused"),
            ("Mislukt", "Failed"),
            ("Geweigerd %", "Refused %"),
        ];
        let rows = self.months.iter().map(|((oin, month), c)| {
            row![setting.who(oin), month.as_str(), c.all, c.refused, c.failed, share(c.refused, c.all)]
        });
        report.tables.push(Table::new(("Per maand", "Per month"), &columns).with(rows));
    }
}
