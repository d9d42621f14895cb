//! Q4 and Q10: who acted, and who got something, without a role in the case. Both must be empty.

use super::day::local;
use super::head;
use super::line::{event_name, method_name};
use super::model::{Code, Level, Report, Table, Text, row, text};
use super::setting::{Scope, Setting};
use super::trail::{Finding, Found, Judged};
use crate::clock::from_micros;

/// Rows that a report lists at most; the count goes on.
const ROWS: usize = 1000;

/// Q4.
pub(super) fn without_role(setting: &Setting, found: &Found) -> Report {
    let mut report = head::report(Code::Q4, setting);
    let judged = found.calls;
    if judged.is_empty() && found.late.is_empty() {
        return report.missing(text(
            "Er zijn in deze periode geen verzoeken in een casus waarvan de rol te beoordelen is.",
            "There are no requests in a case in this period whose role can be judged.",
        ));
    }
    signals(&mut report, &found.strangers, judged, &stranger_words());
    let late = found.late.len();
    let good = text("geen toegang na sluiting", "no access after closing");
    let bad = text(format!("toegang na sluiting: {late} keer"), format!("access after closing: {late} times"));
    if late > 0 || (judged.known > 0 && judged.hidden == 0) {
        report.judge(u64::try_from(late).unwrap_or(u64::MAX), Level::Red, bad, good);
    }
    list(&mut report, ("Zonder rol", "Without a role"), setting, &found.strangers);
    list(&mut report, ("Na sluiting", "After closing"), setting, &found.late);
    explain(&mut report, setting, judged);
    report.notes.push(text(
        "Na sluiting mogen de artikelen 33 tot en met 37 nog.",
        "After closing articles 33 to 37 still apply.",
    ));
    report
}

/// Q10.
pub(super) fn misrouting(setting: &Setting, found: &Found) -> Report {
    let mut report = head::report(Code::Q10, setting);
    let judged = found.deliveries;
    if judged.is_empty() {
        return report.missing(text(
            "Er zijn in deze periode geen verstrekkingen in een casus waarvan de ontvanger te beoordelen is.",
            "There are no disclosures in a case in this period whose recipient can be judged.",
        ));
    }
    signals(&mut report, &found.misrouted, judged, &misrouted_words());
    list(&mut report, ("Ontvangers zonder rol", "Recipients without a role"), setting, &found.misrouted);
    explain(&mut report, setting, judged);
    report
}

fn stranger_words() -> (Text, Text) {
    (text("toegang zonder rol", "access without a role"), text("geen toegang zonder rol", "no access without a role"))
}

fn misrouted_words() -> (Text, Text) {
    let found = text("verstrekking aan een partij buiten de casus", "disclosure to a party outside the case");
    (found, text("niets verstrekt aan een partij buiten de casus", "nothing disclosed to a party outside the case"))
}

/// Red for what is certain, amber where events are missing, green only if something was judged and nothing kept from it.
fn signals(report: &mut Report, findings: &[Finding], judged: Judged, (bad, good): &(Text, Text)) {
    let unsure = findings.iter().filter(|finding| finding.unsure).count();
    let sure = findings.len() - unsure;
    if sure > 0 {
        report.signal(Level::Red, text(format!("{}: {sure} keer", bad.nl), format!("{}: {sure} times", bad.en)));
    }
    if unsure > 0 {
        let nl = format!("{}: {unsure} keer, maar eerdere gebeurtenissen van de casus ontbreken", bad.nl);
        let en = format!("{}: {unsure} times, but earlier events of the case are missing", bad.en);
        report.signal(Level::Amber, text(nl, en));
    }
    let known = judged.known;
    if findings.is_empty() && known > 0 && judged.hidden == 0 {
        let (nl, en) = (format!("{} ({known} beoordeeld)", good.nl), format!("{} ({known} judged)", good.en));
        report.signal(Level::Green, text(nl, en));
    }
    head::hidden_cases(report, judged.hidden);
}

fn explain(report: &mut Report, setting: &Setting, Judged { known, unknown, .. }: Judged) {
    report.notes.push(text(format!("Beoordeeld: {known}."), format!("Judged: {known}.")));
    if unknown > 0 {
        report.lacks(text(
            format!("{unknown} niet te beoordelen: de aanmelding van de casus zit niet in de gelezen gebeurtenissen."),
            format!("{unknown} can't be judged: the referral of the case is not among the events that were read."),
        ));
    }
    report.notes.push(text(
        "Zonder rol in de casus mogen de artikelen 9, 20, 31, 32, 33 en 36, en spoedtoegang (artikel 30, zie Q3).",
        "No role in the case is needed under articles 9, 20, 31, 32, 33 and 36, and for break-glass (article 30, see Q3).",
    ));
    report.notes.push(text(
        "Een recht dat vanzelf afloopt, zoals van een lid van het expertteam (artikel 13), geeft geen gebeurtenis en telt als rol \
         tot een latere gebeurtenis anders zegt.",
        "A right that ends by itself, as of a member of the expert team (article 13), leaves no event and counts as a role \
         until a later event says otherwise.",
    ));
    if let Scope::Own(_) = setting.scope {
        report.lacks(text(
            "Alleen uw eigen organisatie is beoordeeld: de rollen van anderen staan niet in uw log.",
            "Only your own organisation was judged: roles of others do not stand in your log.",
        ));
    }
}

/// Adds the findings as a table, oldest first.
pub(super) fn list(report: &mut Report, title: (&str, &str), setting: &Setting, findings: &[Finding]) {
    let columns = [
        ("Dag", "Day"),
        ("Gebeurtenis", "Event"),
        ("Partij", "Partner"),
        ("Methode", "Method"),
        ("Casus", "Case"),
        ("Artikel", "Article"),
    ];
    let rows = findings.iter().take(ROWS).map(|f| {
        let article = if f.article == 0 { "–".to_owned() } else { f.article.to_string() };
        let (day, who) = (local(from_micros(f.micros)), setting.who(&f.partner));
        row![day, event_name(f.id), who, method_name(f.method), f.case.as_str(), article]
    });
    report.tables.push(Table::new(title, &columns).with(rows));
    if findings.len() > ROWS {
        let all = findings.len();
        report
            .notes
            .push(text(format!("Getoond: de eerste {ROWS} van {all}."), format!("Shown: the first {ROWS} of {all}.")));
    }
}
