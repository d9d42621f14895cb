//! Q14: what directory and log tell of certificates.

use std::collections::BTreeMap;

use time::Duration;

use super::day::{local, month};
use super::head;
use super::line::Line;
use super::model::{Cell, Code, Level, Report, Table, row, text};
use super::setting::{Setting, oin_of};
use super::usage::status;
use crate::api::v1;
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

/// Counts refusals for the certificate, and changes of the register.
#[derive(Default)]
pub(super) struct Certificates {
    requests: u64,
    refused: BTreeMap<(String, String, String), u64>,
    changed: BTreeMap<(String, String, &'static str), u64>,
}

impl Certificates {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        self.requests += 1;
        let month = || month(line.day);
        if REASONS.iter().any(|reason| reason.code() == line.event.reason) {
            let key = (month(), line.event.reason.clone(), line.organisation.to_owned());
            *self.refused.entry(key).or_default() += 1;
        }
        let method = line.method();
        if line.is_allowed() && matches!(method, "Registry/RegisterCertificate" | "Registry/RevokeCertificate") {
            *self.changed.entry((month(), oin_of(&line.event.source).to_owned(), method)).or_default() += 1;
        }
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q14, setting);
        report.lacks(text(
            "Het partnerregister noemt alleen het certificaat waarmee een partij haar sleutels publiceerde. Andere certificaten, hun \
             einde en de ouderdom van CRL's zijn niet bekend; een mislukte TLS-verbinding geeft geen gebeurtenis.",
            "The directory names only the certificate with which a partner published its keys. Other certificates, their end \
             and the age of CRLs are not known; a failed TLS connection leaves no event.",
        ));
        let refused: u64 = self.refused.values().sum();
        let bad = text(
            format!("{refused} keer geweigerd om het certificaat of een onbekende partij"),
            format!("refused {refused} times for the certificate or an unknown party"),
        );
        let good = text("geen weigeringen om het certificaat", "no refusals for the certificate");
        if self.requests > 0 {
            report.judge(refused, Level::Amber, bad, good);
        }
        expiry(setting, &mut report);
        let columns = [("Maand", "Month"), ("Reden", "Reason"), ("Partij", "Partner"), ("Aantal", "Count")];
        let rows =
            self.refused.into_iter().map(|((month, reason, oin), count)| row![month, reason, setting.who(&oin), count]);
        report.tables.push(Table::new(("Weigeringen", "Refusals"), &columns).with(rows));
        let columns = [("Maand", "Month"), ("Partij", "Partner"), ("Methode", "Method"), ("Aantal", "Count")];
        let rows =
            self.changed.into_iter().map(|((month, oin, method), count)| row![month, setting.who(&oin), method, count]);
        report.tables.push(Table::new(("Registraties", "Registrations"), &columns).with(rows));
        report
    }
}

/// The certificates in the directory, and those that end soon.
fn expiry(setting: &Setting, report: &mut Report) {
    if setting.partners.is_empty() {
        report.lacks(text("Het partnerregister is niet gelezen.", "The directory was not read."));
        return;
    }
    let mut partners: Vec<&v1::Partner> = setting.partners.iter().collect();
    partners.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let (mut known, mut soon) = (false, false);
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
