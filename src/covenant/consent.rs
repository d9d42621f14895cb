//! Who must consent, and what state the consent for one question is in (article 7, REFERENCE §2.2).
//!
//! Consent is specific: an empty list of articles, categories or recipients covers nothing. Only the sources may be left
//! open, and not where consent must be explicit.

use std::collections::BTreeSet;

use serde::Deserialize;
use time::{Date, Month, OffsetDateTime};

use super::facts::ConsentState;
use crate::party::{Article, Category, Oin, Role};

/// `consent.toml` with the longest validity of `parameters.toml`.
#[derive(Debug, Clone)]
pub struct ConsentRules {
    pub(crate) table: Table,
    pub(crate) months: u8,
}

/// The truth table as data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    rule: Vec<Row>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    band: AgeBand,
    capable: Option<bool>,
    youth_alone: Option<bool>,
    represented: Option<bool>,
    givers: Vec<Needed>,
    #[expect(dead_code, reason = "the sentence for people stands beside the rule; the code needs only its presence")]
    says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Needed {
    Youth,
    Authority,
    Representative,
}

/// Age class for consent. The birthday itself never reaches this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum AgeBand {
    #[serde(rename = "0-11")]
    Under12,
    #[serde(rename = "12-15")]
    From12,
    #[serde(rename = "16-17")]
    From16,
    #[serde(rename = "18-22")]
    From18,
}

/// Who gives consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Giver {
    Youth,
    Parent1,
    Parent2,
    /// Voogd, also a GI that holds guardianship.
    Guardian,
    /// Curator or mentor of an adult.
    Representative,
}

/// The facts that decide whose consent is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regime {
    pub band: AgeBand,
    /// Wilsbekwaam, as recorded by a professional.
    pub capable: bool,
    /// 12–15: the youth's well-considered wish stands alone, recorded with professional, reason and expiry.
    pub youth_alone: bool,
    /// Who holds authority (gezag or voogdij).
    pub authority: BTreeSet<Giver>,
    /// 18+: a curator or mentor was appointed.
    pub represented: bool,
}

/// What a consent names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    pub articles: BTreeSet<Article>,
    pub categories: BTreeSet<Category>,
    /// Recipients by name; together with `recipient_roles`, at least one must fit.
    pub recipients: BTreeSet<Oin>,
    pub recipient_roles: BTreeSet<Role>,
    /// Empty: any source, except where consent must be explicit.
    pub sources: BTreeSet<Oin>,
}

/// One recorded consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub giver: Giver,
    /// The regime on the day of giving.
    pub regime: Regime,
    pub scope: Scope,
    pub explicit: bool,
    pub given_at: OffsetDateTime,
    pub valid_until: OffsetDateTime,
    pub withdrawn_at: Option<OffsetDateTime>,
}

impl AsRef<Self> for Given {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// What is asked: consent for exactly this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<'a> {
    pub article: Article,
    pub category: Category,
    /// `None` for a third party without an OIN: then the role must be named.
    pub recipient: Option<&'a Oin>,
    pub recipient_role: Role,
    /// `None` for a third party without an OIN.
    pub source: Option<&'a Oin>,
}

impl ConsentRules {
    /// Whose consent is needed, all of them. `None`: nobody can give it, so there is no valid consent.
    pub fn required_givers(&self, regime: &Regime) -> Option<BTreeSet<Giver>> {
        let row = self.table.rule.iter().find(|row| row.fits(regime))?;
        let mut givers = BTreeSet::new();
        for needed in &row.givers {
            match needed {
                Needed::Youth => givers.extend([Giver::Youth]),
                Needed::Representative => givers.extend([Giver::Representative]),
                // Without a recorded holder of authority nobody can decide for the child.
                Needed::Authority if regime.authority.is_empty() => return None,
                Needed::Authority => givers.extend(&regime.authority),
            }
        }
        (!givers.is_empty()).then_some(givers)
    }

    /// The consents that together allow it at `now`, one of each who must give; or the state of what there is. `explicit`: the
    /// consent must be explicit, by name of recipient's source.
    ///
    /// # Errors
    /// Any state but [`ConsentState::Complete`].
    pub fn complete<'g, T: AsRef<Given>>(
        &self,
        now: OffsetDateTime,
        regime: &Regime,
        given: &'g [T],
        ask: &Ask<'_>,
        explicit: bool,
    ) -> Result<Vec<&'g T>, ConsentState> {
        let required = self.required_givers(regime).ok_or(ConsentState::Missing)?;
        let covering: Vec<&T> = given.iter().filter(|given| covers((*given).as_ref(), ask, explicit)).collect();
        let found: Vec<Result<&T, ConsentState>> = required
            .iter()
            .map(|giver| {
                let theirs = covering.iter().copied().filter(|given| (*given).as_ref().giver == *giver);
                self.of_one(now, regime, theirs)
            })
            .collect();
        let some = |state| found.iter().any(|found| found.as_ref().err() == Some(&state));
        match () {
            () if found.iter().all(Result::is_ok) => found.into_iter().collect(),
            () if some(ConsentState::Withdrawn) => Err(ConsentState::Withdrawn),
            () if some(ConsentState::RegimeChanged) || given_under_other_regime(regime, &covering) => {
                Err(ConsentState::RegimeChanged)
            }
            () if some(ConsentState::Expired) => Err(ConsentState::Expired),
            () if found.iter().any(Result::is_ok) => Err(ConsentState::Incomplete),
            () => Err(ConsentState::Missing),
        }
    }

    /// The last thing this giver did decides: a withdrawal ends every consent given before it for the same question. What
    /// was given under any other regime counts no more: otherwise a change of authority or of whose wish stands alone
    /// would make an old, partial consent a whole one.
    fn of_one<'g, T: AsRef<Given>>(
        &self,
        now: OffsetDateTime,
        regime: &Regime,
        given: impl Iterator<Item = &'g T>,
    ) -> Result<&'g T, ConsentState> {
        let given: Vec<(&Given, &T)> =
            given.map(|whole| (whole.as_ref(), whole)).filter(|(given, _)| given.given_at <= now).collect();
        let withdrawn = given.iter().filter_map(|(given, _)| given.withdrawn_at).filter(|at| *at <= now).max();
        let live = given.iter().filter(|(given, _)| given.withdrawn_at.is_none_or(|at| at > now));
        let live = live.filter(|(given, _)| withdrawn.is_none_or(|at| given.given_at > at));
        let Some((last, whole)) = live.max_by_key(|(given, _)| given.given_at) else {
            return Err(if withdrawn.is_some() { ConsentState::Withdrawn } else { ConsentState::Missing });
        };
        if last.regime != *regime {
            Err(ConsentState::RegimeChanged)
        } else if now >= last.valid_until || self.latest_end(last.given_at).is_none_or(|end| now >= end) {
            Err(ConsentState::Expired)
        } else {
            Ok(whole)
        }
    }

    /// The moment after which no consent given at `given_at` holds, whatever it says itself (article 7).
    pub fn latest_end(&self, given_at: OffsetDateTime) -> Option<OffsetDateTime> {
        add_months(given_at.date(), u16::from(self.months)).map(|day| given_at.replace_date(day))
    }
}

impl Row {
    fn fits(&self, regime: &Regime) -> bool {
        let fits = |wanted: Option<bool>, fact: bool| wanted.is_none_or(|w| w == fact);
        self.band == regime.band
            && fits(self.capable, regime.capable)
            && fits(self.youth_alone, regime.youth_alone)
            && fits(self.represented, regime.represented)
    }
}

/// A parent's consent from before a birthday or a change of authority: nobody who must consent now did, but somebody
/// did then.
fn given_under_other_regime<T: AsRef<Given>>(regime: &Regime, covering: &[&T]) -> bool {
    covering.iter().map(|given| (*given).as_ref()).any(|given| given.regime != *regime && given.withdrawn_at.is_none())
}

fn covers(given: &Given, ask: &Ask<'_>, explicit: bool) -> bool {
    let scope = &given.scope;
    let by_name = ask.recipient.is_some_and(|oin| scope.recipients.contains(oin));
    let named_source = ask.source.is_some_and(|oin| scope.sources.contains(oin));
    let recipient = by_name || (!explicit && scope.recipient_roles.contains(&ask.recipient_role));
    // A third party has no OIN to be named by; its role is its name.
    let third = ask.recipient.is_none() && scope.recipient_roles.contains(&ask.recipient_role);
    scope.articles.contains(&ask.article)
        && scope.categories.contains(&ask.category)
        && (recipient || third)
        && (named_source || (!explicit && scope.sources.is_empty()))
        && (given.explicit || !explicit)
}

/// The same day `months` later, or the last day of that month.
pub(crate) fn add_months(day: Date, months: u16) -> Option<Date> {
    let index = i32::from(u8::from(day.month())) - 1 + i32::from(months);
    let month = Month::try_from(u8::try_from(index.rem_euclid(12)).ok()? + 1).ok()?;
    let year = day.year().checked_add(index.div_euclid(12))?;
    Date::from_calendar_date(year, month, day.day().min(month.length(year))).ok()
}

#[cfg(test)]
mod tests;
