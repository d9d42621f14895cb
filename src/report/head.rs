//! What stands above and below every report: title, basis, what the reader can't see; and the reports without facts.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::model::{Availability, Code, Level, Report, Text, text};
use super::setting::{Scope, Setting};

/// A moment as it stands in reports.
pub(super) fn stamp(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

/// An empty report of this kind, that lacks nothing yet.
pub(super) fn report(code: Code, setting: &Setting) -> Report {
    let both = |(nl, en): Both| text(nl, en);
    Report {
        code,
        title: both(title(code)),
        from: stamp(setting.from),
        until: stamp(setting.until),
        as_of: stamp(setting.as_of),
        scope: setting.scope.code().to_owned(),
        availability: Availability::Complete,
        signals: Vec::new(),
        tables: Vec::new(),
        basis: both(basis(code)),
        notes: vec![hidden(&setting.scope)],
    }
}

/// What the reader's scope hides.
fn hidden(scope: &Scope) -> Text {
    match scope {
        Scope::Own(_) => text(
            "U ziet alleen gebeurtenissen waarin uw organisatie vroeg, verstrekte of ontving. Van wat anderen deden ziet u \
             de medewerker, de motivering en de andere ontvangers niet. Of een casus niet bestaat of niet van u is, \
             is in uw log hetzelfde.",
            "You see only events in which your organisation asked, sent or received. Of what others did you do not see the \
             employee, the motivation and the other recipients. Whether a case does not exist or is not yours is the \
             same in your log.",
        ),
        Scope::Network => text(
            "Alle gebeurtenissen van het netwerk, zonder inhoud. Wie een medewerkerskenmerk is, weet alleen diens organisatie.",
            "All events of the network, without content. Only its organisation knows whom an employee reference stands for.",
        ),
    }
}

/// What holds for a report by the events that it was made of.
pub(super) fn remark(report: &mut Report, unread: u64, erased: u64) {
    if unread > 0 {
        report.notes.push(text(
            format!("{unread} gebeurtenissen konden niet worden gelezen en tellen niet mee."),
            format!("{unread} events could not be read and are not counted."),
        ));
    }
    if erased > 0 {
        report.notes.push(text(
            format!("Van {erased} gebeurtenissen zijn gegevens gewist; wat daarin stond telt niet mee."),
            format!("Data of {erased} events was erased; what it held is not counted."),
        ));
    }
}

/// Says that events can't be judged because they show no case: what is not seen is no good result.
pub(super) fn hidden_cases(report: &mut Report, count: u64) {
    if count == 0 {
        return;
    }
    report.lacks(text(
        format!(
            "{count} gebeurtenissen in een casus zijn niet te beoordelen: welke casus het was, of wie iets kreeg, is gewist, of uw \
             organisatie heeft geen naam voor de casus."
        ),
        format!(
            "{count} events in a case can't be judged: which case it was, or who got something, was erased, or your organisation \
             has no name for the case."
        ),
    ));
    report.signal(
        Level::Amber,
        text(
            format!("{count} gebeurtenissen niet te beoordelen: hun casus is niet te zien"),
            format!("{count} events can't be judged: their case does not show"),
        ),
    );
}

/// Dutch and English.
type Both = (&'static str, &'static str);

const fn title(code: Code) -> Both {
    match code {
        Code::Q1 => (
            "Verstrekkingen per artikel, categorie, partij en maand",
            "Disclosures per article, category, partner and month",
        ),
        Code::Q2 => ("Weigeringen per reden en partij", "Denials per reason and partner"),
        Code::Q3 => ("Spoedtoegang", "Break-glass"),
        Code::Q4 => ("Toegang zonder rol of na sluiting", "Access without a role or after closing"),
        Code::Q5 => ("Toestemming: stand van zaken", "Consent health"),
        Code::Q6 => ("Intrekkingen en bezwaren", "Withdrawals and objections"),
        Code::Q7 => ("Bewaren en vernietigen", "Retention"),
        Code::Q8 => ("Verzoeken van betrokkenen", "Requests of data subjects"),
        Code::Q9 => ("Integriteit van het log", "Integrity of the log"),
        Code::Q10 => ("Bewijs van juiste adressering", "Proof that nothing was misrouted"),
        Code::Q11 => ("Steekproef ter beoordeling", "Sample for review"),
        Code::Q12 => ("Gebruik van artikelen", "Use of articles"),
        Code::Q13 => ("Publicaties van de monitor", "What the monitor published"),
        Code::Q14 => ("Certificaten", "Certificates"),
        Code::Q15 => ("Inbreuken", "Breaches"),
    }
}

/// What a report is made of.
const fn basis(code: Code) -> Both {
    match code {
        Code::Q1 => (
            "toegestane PublishRecord, AddRecipient, FetchRecord en leesverzoeken in een casus; artikelen 2, 3 en 36",
            "allowed PublishRecord, AddRecipient, FetchRecord and reads in a case; articles 2, 3 and 36",
        ),
        Code::Q2 => ("alle verzoeken en hun uitkomst; artikel 36", "all requests and their outcome; article 36"),
        Code::Q3 => ("gebeurtenissen met spoed; artikel 30", "events with emergency; article 30"),
        Code::Q4 => (
            "toegestane verzoeken in een casus tegenover rol- en sluitingsgebeurtenissen; artikelen 1 en 37",
            "allowed requests in a case against events of roles and closing; articles 1 and 37",
        ),
        Code::Q5 => (
            "RecordConsent, WithdrawConsent en weigeringen om toestemming; artikel 7",
            "RecordConsent, WithdrawConsent and refusals for consent; article 7",
        ),
        Code::Q6 => (
            "WithdrawConsent, RestrictCase en latere verstrekkingen op dezelfde toestemming; artikel 35",
            "WithdrawConsent, RestrictCase and later disclosures on the same consent; article 35",
        ),
        Code::Q7 => (
            "gewiste gegevens in gebeurtenissen, EraseEvents en de ouderdom van gebeurtenissen; artikelen 36 en 37",
            "erased data in events, EraseEvents and the age of events; articles 36 and 37",
        ),
        Code::Q8 => ("toegestane verzoeken onder artikel 34", "allowed requests under article 34"),
        Code::Q9 => (
            "bewijs van de boom; QueryEvents, ProveEvents en ReadEntries; artikel 36",
            "proof of the tree; QueryEvents, ProveEvents and ReadEntries; article 36",
        ),
        Code::Q10 => (
            "ontvangers van toegestane verstrekkingen tegenover rollen in de casus; artikelen 1 en 3",
            "recipients of allowed disclosures against roles in the case; articles 1 and 3",
        ),
        Code::Q11 => (
            "gebeurtenissen over een jeugdige of casus, en weigeringen; artikel 36",
            "events about a youth or case, and refusals; article 36",
        ),
        Code::Q12 => (
            "artikel per verzoek en aanvaarde versies in het partnerregister; artikelen 36 en 40",
            "article of each request and accepted versions in the directory; articles 36 and 40",
        ),
        Code::Q13 => (
            "toegestane PublishRecord en FetchRecord onder de artikelen 31 en 32",
            "allowed PublishRecord and FetchRecord under articles 31 and 32",
        ),
        Code::Q14 => (
            "partnerregister, certificaatregistraties en weigeringen om het certificaat; artikel 38",
            "directory, registrations of certificates and refusals for the certificate; article 38",
        ),
        Code::Q15 => ("artikel 38", "article 38"),
    }
}

/// Q15: no fact of it exists.
pub(super) fn breaches(setting: &Setting) -> Report {
    report(Code::Q15, setting).missing(text(
        "Geen gebeurtenis legt een inbreuk vast: wanneer zij is ontdekt, wat en wie zij raakt, en wanneer partijen, de AP en betrokkenen \
         zijn ingelicht. De termijnen van 24 en 72 uur (artikel 38) hebben in het log dus geen begin en geen einde.",
        "No event records a breach: when it was discovered, what and whom it concerns, and when partners, the authority and data \
         subjects were told. So the terms of 24 and 72 hours (article 38) have no beginning and no end in the log.",
    ))
}
