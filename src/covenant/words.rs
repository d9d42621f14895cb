//! The names that people read for every code.

use crate::party::{Category, Form, Phase, Role};

/// A text in the two languages of an explanation: Dutch, English.
pub(crate) type Both = (&'static str, &'static str);

pub(crate) fn role(role: Role) -> Both {
    match role {
        Role::R01 => ("aanmelder", "referrer"),
        Role::R02 => ("casusregisseur", "case lead"),
        Role::R03 => ("netwerkcoördinator", "network coordinator"),
        Role::R04 => ("voorzitter van het expertteam", "chair of the expert team"),
        Role::R05 => ("lid van het expertteam", "member of the expert team"),
        Role::R06 => ("gedragswetenschapper", "clinical child psychologist"),
        Role::R07 => ("betrokken hulpverlener", "involved professional"),
        Role::R08 => ("jeugdbeschermer", "youth protection worker"),
        Role::R09 => ("beoogd aanbieder", "intended provider"),
        Role::R10 => ("financier", "funder"),
        Role::R11 => ("bestuurder", "board member"),
        Role::R12 => ("achterwacht", "on-call service"),
        Role::R13 => ("monitoranalist", "monitor analyst"),
        Role::R14 => ("functionaris gegevensbescherming", "data protection officer"),
        Role::R15 => ("aansluitbeheerder", "connection manager"),
        Role::R16 => ("externe derde", "third party"),
        Role::R17 => ("vertrouwenspersoon", "confidential adviser"),
        Role::R18 => ("jeugdige of ouder", "youth or parent"),
    }
}

pub(crate) fn category(category: Category) -> Both {
    match category {
        Category::C01 => ("casusreferentie en fase", "case reference and phase"),
        Category::C02 => ("identificerende gegevens", "identifying data"),
        Category::C03 => ("minimale kenmerken", "minimal characteristics"),
        Category::C04 => ("gezag en vertegenwoordiging", "authority and representation"),
        Category::C05 => ("betrokken organisaties", "organisations involved"),
        Category::C06 => ("hulpvraag en stem", "question for help and voice"),
        Category::C07 => ("gezin en wonen", "family and living"),
        Category::C08 => ("hulpgeschiedenis", "history of care"),
        Category::C09 => ("gezondheid en diagnostiek", "health and diagnostics"),
        Category::C10 => ("verklarende analyse", "explanatory analysis"),
        Category::C11 => ("veiligheid", "safety"),
        Category::C12 => ("kinderbeschermingsmaatregel", "child protection measure"),
        Category::C13 => ("strafrechtelijke gegevens", "criminal data"),
        Category::C14 => ("onderwijs", "education"),
        Category::C15 => ("plan en acties", "plan and actions"),
        Category::C16 => ("advies van het expertteam", "advice of the expert team"),
        Category::C17 => ("financiering", "funding"),
        Category::C18 => ("plaatsingsprofiel", "placement profile"),
        Category::C19 => ("open plekken", "open places"),
        Category::C20 => ("escalatiefactsheet", "escalation fact sheet"),
        Category::C21 => ("voortgang en uitkomst", "progress and outcome"),
        Category::C22 => ("leer- en monitorset", "learning and monitor set"),
        Category::C23 => ("toestemming en rechten", "consent and rights"),
        Category::C24 => ("logging", "log"),
    }
}

pub(crate) fn phase(phase: Phase) -> Both {
    match phase {
        Phase::F0 => ("voorverkenning", "exploration"),
        Phase::F1 => ("aanmelding", "referral"),
        Phase::F2 => ("triage", "triage"),
        Phase::F3 => ("expertteam", "expert team"),
        Phase::F4 => ("verklarende analyse", "explanatory analysis"),
        Phase::F5 => ("plan en financiering", "plan and funding"),
        Phase::F6 => ("uitvoering", "delivery"),
        Phase::F7 => ("evaluatie", "evaluation"),
        Phase::F8 => ("bewaring", "retention"),
        Phase::FE => ("escalatie", "escalation"),
    }
}

pub(crate) fn form(form: Form) -> Both {
    match form {
        Form::I => ("herkenbaar", "linkable"),
        Form::P => ("gepseudonimiseerd", "pseudonymous"),
        Form::L => ("label of samenvatting", "label or summary"),
        Form::A => ("aggregaat", "aggregate"),
        Form::Open => ("zonder persoonsgegevens", "no personal data"),
    }
}
