//! What a step does: one call of the API with its arguments, in the words of a scenario file.
//!
//! Names of partners, cases, records and people are the labels that the scenario itself gave them.

use serde::Deserialize;

use super::word::Word;
use crate::api::v1 as api;

macro_rules! calls {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// One call.
        #[derive(Debug, Clone)]
        pub(crate) enum Call { $($(#[$doc])* $variant($variant)),+ }

        impl Call {
            /// Every word that `call = "…"` may be.
            pub(crate) const WORDS: &'static [&'static str] = &[$($word),+];

            /// Reads the arguments of the call `word`; `None` if there is no such call.
            pub(crate) fn read(word: &str, arguments: toml::Table) -> Option<Result<Self, toml::de::Error>> {
                match word {
                    $($word => Some(arguments.try_into().map(Self::$variant)),)+
                    _ => None,
                }
            }
        }
    };
}

calls! {
    /// Opens a case.
    Refer = "refer",
    /// Looks at a case.
    Case = "case",
    /// Asks for the list of one's own cases.
    Cases = "cases",
    /// Gives a partner or a third party a role.
    Assign = "assign",
    /// Ends a role.
    End = "end",
    /// Moves the case to another phase.
    Advance = "advance",
    /// Hands the case over to another holder.
    Handover = "handover",
    /// Records the choice of a provider.
    Choose = "choose",
    /// Records a measure.
    Measure = "measure",
    /// Changes who must consent.
    Regime = "regime",
    /// Restricts processing, or records an objection.
    Restrict = "restrict",
    /// Starts an escalation.
    Escalate = "escalate",
    /// Ends it.
    Deescalate = "deescalate",
    /// Closes the case.
    Close = "close",
    /// Records that one person consents.
    Consent = "consent",
    /// Records that a consent is withdrawn.
    Withdraw = "withdraw",
    /// Asks who would receive something, without sending it.
    Plan = "plan",
    /// Publishes a record.
    Publish = "publish",
    /// Asks others for categories.
    Request = "request",
    /// Fetches and opens a record.
    Fetch = "fetch",
    /// Lists the records that one may fetch.
    List = "list",
    /// Asks for one's own pseudonym of a youth.
    Resolve = "resolve",
    /// Looks at what has arrived.
    Inbox = "inbox",
    /// Looks at the log, as the privacy officer of the partner.
    Query = "query",
    /// Lets time pass.
    Wait = "wait",
}

/// Whose consent counts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegimeWords {
    pub(crate) age: Word<api::AgeBand>,
    #[serde(default = "yes")]
    pub(crate) capable: bool,
    pub(crate) authority: Vec<Word<api::Giver>>,
}

macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $kind:ty),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$meta])* pub(crate) $field: $kind),* }
    )+};
}

arguments! {
    /// `holder`: the partner that holds the case, if not the caller. `as`: label of the case.
    Refer {
        youth: String,
        regime: RegimeWords,
        holder: Option<String>,
        #[serde(rename = "as")]
        label: String,
    }
    /// By label, or by the youth where the caller has no name for the case. `phase`: what must come out.
    Case {
        case: Option<String>,
        youth: Option<String>,
        #[serde(default)]
        participants: bool,
        phase: Option<Word<api::Phase>>,
    }
    /// `count`: how many must come out.
    Cases { count: Option<usize> }
    /// `to`: a partner; `external`: a third party instead. `as`: label of the assignment.
    Assign {
        case: String,
        gives: Word<api::Role>,
        to: Option<String>,
        external: Option<Word<api::ExternalKind>>,
        #[serde(default)]
        directly_involved: bool,
        #[serde(rename = "as")]
        label: Option<String>,
    }
    /// An assignment's label.
    End { assignment: String }
    Advance { case: String, to: Word<api::Phase> }
    Handover { case: String, to: String }
    Choose { case: String, provider: String }
    /// `days`: how long it runs; left out: until further notice.
    Measure { case: String, kind: Word<api::MeasureKind>, by: String, days: Option<i64> }
    Regime { case: String, regime: RegimeWords }
    Restrict {
        case: String,
        kind: Word<api::restrict_case_request::Kind>,
        #[serde(default)]
        lift: bool,
    }
    Escalate { case: String, to: String }
    Deescalate { case: String }
    Close { case: String, end_reason: String }
    /// `recipients` and `sources` are partners.
    Consent {
        case: String,
        giver: Word<api::Giver>,
        articles: Vec<String>,
        categories: Vec<Word<api::Category>>,
        #[serde(default)]
        recipients: Vec<String>,
        #[serde(default)]
        recipient_roles: Vec<Word<api::Role>>,
        #[serde(default)]
        sources: Vec<String>,
        #[serde(default)]
        explicit: bool,
        #[serde(default = "text_version")]
        text_version: String,
        #[serde(rename = "as")]
        label: Option<String>,
    }
    Withdraw { consent: String }
    /// `reaches`: exactly these partners must come out.
    Plan {
        case: Option<String>,
        category: Word<api::Category>,
        form: Word<api::Form>,
        #[serde(default)]
        to_roles: Vec<Word<api::Role>>,
        #[serde(default)]
        to: Vec<String>,
        source: Option<Word<api::ExternalKind>>,
        reaches: Option<Vec<String>>,
    }
    /// As `plan`, with the text itself. `as`: label of the record.
    Publish {
        case: Option<String>,
        category: Word<api::Category>,
        form: Word<api::Form>,
        #[serde(default)]
        to_roles: Vec<Word<api::Role>>,
        #[serde(default)]
        to: Vec<String>,
        source: Option<Word<api::ExternalKind>>,
        #[serde(default = "plain_text")]
        schema: String,
        text: String,
        reaches: Option<Vec<String>>,
        #[serde(rename = "as")]
        label: Option<String>,
    }
    /// `from`: partners asked; left out: whoever may send it. `reaches`: exactly these must get the question.
    Request {
        case: String,
        categories: Vec<Word<api::Category>>,
        form: Word<api::Form>,
        #[serde(default)]
        from: Vec<String>,
        reaches: Option<Vec<String>>,
    }
    /// `reads`: the text that must come out.
    Fetch { record: String, reads: Option<String> }
    /// `finds`: labels of records that must be among what comes out.
    List {
        case: String,
        #[serde(default)]
        categories: Vec<Word<api::Category>>,
        #[serde(default)]
        finds: Vec<String>,
    }
    /// `differs_from`: partners whose own pseudonym of the youth must be another.
    Resolve {
        youth: String,
        #[serde(default)]
        differs_from: Vec<String>,
    }
    /// Items as "record C06", "request C09", "role R05", "phase F3", "consent-withdrawn", "closed". Everything in
    /// `arrived` must have come since the last look, nothing in `absent` may have.
    Inbox {
        #[serde(default)]
        arrived: Vec<String>,
        #[serde(default)]
        absent: Vec<String>,
    }
    /// `at_least`: how many events must come out.
    Query {
        case: Option<String>,
        outcome: Option<Word<api::Outcome>>,
        reason_code: Option<String>,
        #[serde(default = "one")]
        at_least: usize,
    }
    /// One of the two.
    Wait { hours: Option<u32>, working_days: Option<u32> }
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn plain_text() -> String {
    "sluis/tekst/v1".to_owned()
}

fn text_version() -> String {
    "2026-1".to_owned()
}
