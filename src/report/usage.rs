//! Q12: which articles are used, which never, and who accepted which version.

use std::collections::BTreeMap;

use super::head;
use super::line::Line;
use super::model::{Code, Level, Report, Table, Text, exceeds, row, share, text};
use super::setting::{Scope, Setting, oin_of};
use crate::api::v1;

/// Counts requests by article (done, refused) and by the covenant's version.
#[derive(Default)]
pub(super) struct Usage {
    articles: BTreeMap<u8, (u64, u64)>,
    versions: BTreeMap<u32, u64>,
}

impl Usage {
    pub(super) fn add(&mut self, line: &Line<'_>) {
        if line.event.covenant_version > 0 {
            *self.versions.entry(line.event.covenant_version).or_default() += 1;
        }
        if line.article() > 0 {
            let (allowed, refused) = self.articles.entry(line.article()).or_default();
            *allowed += u64::from(line.is_allowed());
            *refused += u64::from(line.is_refused());
        }
    }

    pub(super) fn finish(self, setting: &Setting) -> Report {
        let mut report = head::report(Code::Q12, setting);
        self.articles(setting, &mut report);
        self.unused(setting, &mut report);
        accepted(setting, &mut report);
        let columns = [("Versie", "Version"), ("Besloten verzoeken", "Requests decided")];
        let rows = self.versions.iter().map(|(version, count)| row![u64::from(*version), *count]);
        report.tables.push(Table::new(("Versies waaronder is besloten", "Versions that decided"), &columns).with(rows));
        report
    }

    fn articles(&self, setting: &Setting, report: &mut Report) {
        let percent = setting.terms.review.article_share_percent;
        let total: u64 = self.articles.values().map(|(allowed, refused)| allowed + refused).sum();
        for (article, (allowed, refused)) in &self.articles {
            let all = allowed + refused;
            if exceeds(all, total, percent) {
                let part = share(all, total);
                let nl = format!("artikel {article}: {part} % van de verzoeken (grens {percent} %)");
                let en = format!("article {article}: {part} % of the requests (threshold {percent} %)");
                report.signal(Level::Amber, text(nl, en));
            }
        }
        let columns =
            [("Artikel", "Article"), ("Toegestaan", "Allowed"), ("Geweigerd", "Refused"), ("Aandeel %", "Share %")];
        let rows = self.articles.iter().map(|(article, (allowed, refused))| {
            row![u64::from(*article), *allowed, *refused, share(allowed + refused, total)]
        });
        report.tables.push(Table::new(("Per artikel", "Per article"), &columns).with(rows));
    }

    fn unused(&self, setting: &Setting, report: &mut Report) {
        let months = setting.terms.review.article_unused_months;
        let numbers = setting.terms.articles.iter().map(|article| article.number());
        let unused: Vec<u8> = numbers.filter(|number| !self.articles.contains_key(number)).collect();
        let named = unused.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        if let Scope::Own(_) = setting.scope {
            report.lacks(text(
                "Of een artikel nergens wordt gebruikt ziet alleen de functionaris van het netwerk.",
                "Only the network's officer sees whether an article is used nowhere.",
            ));
        } else if !setting.spans(months) {
            report.lacks(text(
                format!("De periode is korter dan {months} maanden: of een artikel zo lang niet is gebruikt is niet bekend."),
                format!("The period is shorter than {months} months: whether an article was unused for so long is not known."),
            ));
        } else {
            let count = u64::try_from(unused.len()).unwrap_or(u64::MAX);
            let nl = format!("{months} maanden niet gebruikt: artikel {named}");
            let en = format!("unused for {months} months: article {named}");
            let good = text("elk artikel is gebruikt", "every article was used");
            report.judge(count, Level::Amber, text(nl, en), good);
        }
        let columns = [("Artikel", "Article")];
        let rows = unused.into_iter().map(|article| row![u64::from(article)]);
        report.tables.push(Table::new(("Niet gebruikt in deze periode", "Unused in this period"), &columns).with(rows));
    }
}

/// Who accepted which version last; partners that withdrew need not.
fn accepted(setting: &Setting, report: &mut Report) {
    if setting.partners.is_empty() {
        report.lacks(text("Het partnerregister is niet gelezen.", "The directory was not read."));
        return;
    }
    let version = setting.terms.version;
    let mut partners: Vec<&v1::Partner> = setting.partners.iter().collect();
    partners.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let behind = |p: &&&v1::Partner| p.status() == v1::PartnerStatus::Active && p.accepted_covenant != version;
    let count = u64::try_from(partners.iter().filter(behind).count()).unwrap_or(u64::MAX);
    let nl = format!("{count} actieve partijen hebben versie {version} niet aanvaard");
    let en = format!("{count} active partners have not accepted version {version}");
    let good = text(
        format!("elke actieve partij heeft versie {version} aanvaard"),
        format!("every active partner has accepted version {version}"),
    );
    report.judge(count, Level::Red, text(nl, en), good);
    let columns = [("Partij", "Partner"), ("Stand", "Status"), ("Aanvaarde versie", "Version accepted")];
    let rows = partners.into_iter().map(|partner| {
        let version = match partner.accepted_covenant {
            0 => "–".to_owned(),
            version => version.to_string(),
        };
        row![setting.who(oin_of(&partner.name)), status(partner.status()), version]
    });
    report.tables.push(Table::new(("Aanvaarde versies", "Versions accepted"), &columns).with(rows));
}

/// A partner's standing in words.
pub(super) fn status(status: v1::PartnerStatus) -> Text {
    match status {
        v1::PartnerStatus::Active => text("actief", "active"),
        v1::PartnerStatus::Suspended => text("geschorst", "suspended"),
        v1::PartnerStatus::Withdrawn => text("uitgetreden", "withdrawn"),
        v1::PartnerStatus::Unspecified => text("–", "–"),
    }
}
