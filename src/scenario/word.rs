//! The API's enumerations as scenario files write them: "R05", "12-15", "ouder-1".

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::api::v1 as api;

/// An enumeration of the API that has words in scenario files.
pub(crate) trait Vocabulary: Copy {
    /// What its values are called, for messages.
    const WHAT: &'static str;
    /// What stands before the word in the `.proto` file.
    const PREFIX: &'static str;
    /// One word, for messages.
    const EXAMPLE: &'static str;

    /// The value with this name in the `.proto` file.
    fn from_proto(name: &str) -> Option<Self>;
}

/// A value of the API, read from its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<E>(pub(crate) E);

impl<E: Vocabulary + Into<i32>> Word<E> {
    /// The value as it goes into a message.
    pub(crate) fn number(self) -> i32 {
        self.0.into()
    }
}

impl<'de, E: Vocabulary> Deserialize<'de> for Word<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        value(&text).map(Self).ok_or_else(|| Error::custom(Unknown::<E>(&text, std::marker::PhantomData)))
    }
}

/// Numbers of several values.
pub(crate) fn numbers<E: Vocabulary + Into<i32>>(words: &[Word<E>]) -> Vec<i32> {
    words.iter().map(|word| word.number()).collect()
}

/// The word of a value, from its name in the `.proto` file.
pub(crate) fn word_of(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

fn value<E: Vocabulary>(text: &str) -> Option<E> {
    let name = format!("{}{}", E::PREFIX, text.to_ascii_uppercase().replace('-', "_"));
    E::from_proto(&name).filter(|_| text != "unspecified")
}

struct Unknown<'a, E>(&'a str, std::marker::PhantomData<E>);

impl<E: Vocabulary> fmt::Display for Unknown<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a known {}; write for example \"{}\"", self.0, E::WHAT, E::EXAMPLE)
    }
}

macro_rules! vocabulary {
    ($($kind:ty: $what:literal, $prefix:literal, $example:literal;)+) => {$(
        impl Vocabulary for $kind {
            const WHAT: &'static str = $what;
            const PREFIX: &'static str = $prefix;
            const EXAMPLE: &'static str = $example;

            fn from_proto(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    )+};
}

vocabulary! {
    api::Role: "role", "ROLE_", "R05";
    api::Category: "category", "CATEGORY_", "C06";
    api::Form: "form", "FORM_", "P";
    api::Phase: "phase", "PHASE_", "F3";
    api::OrganisationKind: "kind of organisation", "ORGANISATION_KIND_", "gemeente";
    api::ExternalKind: "kind of third party", "EXTERNAL_KIND_", "school";
    api::AgeBand: "age band", "AGE_BAND_", "12-15";
    api::Giver: "giver of consent", "GIVER_", "ouder-1";
    api::MeasureKind: "measure", "MEASURE_KIND_", "ots";
    api::restrict_case_request::Kind: "restriction", "KIND_", "objection";
    api::Outcome: "outcome", "OUTCOME_", "refused";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_names_of_the_api() {
        assert_eq!(value::<api::Role>("R05"), Some(api::Role::R05));
        assert_eq!(value::<api::AgeBand>("12-15"), Some(api::AgeBand::AgeBand1215));
        assert_eq!(value::<api::Giver>("ouder-1"), Some(api::Giver::Ouder1));
        assert_eq!(value::<api::Form>("open"), Some(api::Form::Open));
        for text in ["", "R19", "unspecified", "ROLE_R05"] {
            assert_eq!(value::<api::Role>(text), None, "{text}");
        }
    }
}
