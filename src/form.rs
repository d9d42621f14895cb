//! Reading a request's fields. Everything wrong is collected and told at once, by field, without the value.

use std::borrow::Cow;

use time::OffsetDateTime;

use crate::api::v1;
use crate::ground::{FieldViolation, Refusal};
use crate::party::{Article, Oin, Role};
use crate::pseudonym::Pseudonym;
use crate::pseudonym::scan::contains_bsn;
use crate::reason::Reason;
use crate::wire::{Numbered, moment};

/// Why a call is made, checked.
#[derive(Debug, Clone)]
pub struct Context {
    /// Article that the caller relies on.
    pub article: Article,
    /// Purpose code, one of the covenant's.
    pub purpose: String,
    /// Role in which the caller acts.
    pub role: Role,
    /// Opaque employee.
    pub user_ref: String,
    /// Motivation; may be empty.
    pub reason: String,
}

/// Longest motivation, characters.
const REASON: usize = 500;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub struct Fields {
    violations: Vec<FieldViolation>,
    bsn: bool,
}

impl Fields {
    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: &str, expected: impl Into<Cow<'static, str>>) {
        self.violations.push(FieldViolation { field: field.to_owned(), expected: expected.into() });
    }

    /// Notes a BSN where none may come.
    pub fn bsn_at_hub(&mut self, field: &str) {
        self.bsn = true;
        self.wrong(field, "no BSN: an agent turns it into a pseudonym before it leaves the partner");
    }

    fn require<T>(&mut self, field: &str, expected: impl Into<Cow<'static, str>>, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.wrong(field, expected);
        }
        value
    }

    /// The request, if nothing was wrong.
    pub fn done<T>(mut self, value: Option<T>) -> Result<T, Refusal> {
        let reason = if self.bsn { Reason::BsnInText } else { Reason::RequestIncomplete };
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => {
                self.violations.truncate(32);
                Err(Refusal::fields(reason, self.violations))
            }
        }
    }

    /// Text that people wrote: no longer than `longest` characters, without control characters, without a BSN.
    pub fn text(&mut self, field: &str, text: &str, longest: usize) -> Option<String> {
        if text.chars().count() > longest || text.chars().any(|c| c.is_control() && c != '\n') {
            self.wrong(field, "plain text of limited length");
            return None;
        }
        self.without_bsn(field, text).then(|| text.to_owned())
    }

    /// An opaque reference: 1–64 of `[A-Za-z0-9._-]`, and not a BSN.
    pub fn reference(&mut self, field: &str, text: &str) -> Option<String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            self.wrong(field, "1-64 of letters, digits, '.', '_', '-'");
            return None;
        }
        self.without_bsn(field, text).then(|| text.to_owned())
    }

    /// An own pseudonym of a youth.
    pub fn pseudonym(&mut self, field: &str, text: &str) -> Option<Pseudonym> {
        self.require(field, "an own pseudonym, 32 characters of base64url", text.parse().ok())
    }

    /// The employee that a call without a case names.
    pub fn user_ref(&mut self, context: Option<&v1::RequestContext>) -> Option<String> {
        self.reference("context.user_ref", context.map_or("", |context| &context.user_ref))
    }

    fn without_bsn(&mut self, field: &str, text: &str) -> bool {
        let clean = !contains_bsn(text);
        if !clean {
            self.bsn = true;
            self.wrong(field, "text without a number that passes the elfproef of a BSN");
        }
        clean
    }

    /// A UUID in the usual form, lower case.
    pub fn uuid(&mut self, field: &str, text: &str) -> Option<String> {
        let uuid = uuid::Uuid::try_parse(text).ok().map(|uuid| uuid.to_string()).filter(|usual| usual == text);
        self.require(field, "a UUID in lower case, 8-4-4-4-12", uuid)
    }

    /// The UUID in a name like `cases/{uuid}`.
    pub fn named(&mut self, field: &str, collection: &'static str, name: &str) -> Option<String> {
        let id = name.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/'));
        match id {
            Some(id) => self.uuid(field, id),
            None => self.require(field, format!("{collection}/{{uuid}}"), None),
        }
    }

    /// The two UUIDs in a name like `cases/{uuid}/consents/{uuid}`.
    pub fn nested(&mut self, field: &str, inner: &'static str, name: &str) -> Option<(String, String)> {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            ["cases", case, collection, id] if *collection == inner => {
                Some((self.uuid(field, case)?, self.uuid(field, id)?))
            }
            _ => self.require(field, "a name like cases/{uuid}/assignments/{uuid}", None),
        }
    }

    /// `partners/{oin}`.
    pub fn partner(&mut self, field: &str, name: &str) -> Option<Oin> {
        let oin = name.strip_prefix("partners/").and_then(|oin| oin.parse().ok());
        self.require(field, "partners/{oin of 20 digits}", oin)
    }

    /// `partners/{oin}`, or nothing.
    pub fn partner_or_none(&mut self, field: &str, name: &str) -> Option<Option<Oin>> {
        if name.is_empty() { Some(None) } else { self.partner(field, name).map(Some) }
    }

    /// A list of `partners/{oin}`, at most 100.
    pub fn partners(&mut self, field: &str, names: &[String]) -> Option<Vec<Oin>> {
        self.list(field, names, |fields, name| fields.partner(field, name))
    }

    /// A list of words, at most 100.
    pub fn words<T: Numbered>(&mut self, field: &str, numbers: &[i32]) -> Option<Vec<T>> {
        self.list(field, numbers, |fields, number| fields.word(field, *number))
    }

    fn list<I, T>(
        &mut self,
        field: &str,
        items: &[I],
        mut read: impl FnMut(&mut Self, &I) -> Option<T>,
    ) -> Option<Vec<T>> {
        if items.len() > 100 {
            return self.require(field, "at most 100 entries", None);
        }
        items.iter().map(|item| read(self, item)).collect()
    }

    /// One word of a vocabulary.
    pub fn word<T: Numbered>(&mut self, field: &str, number: i32) -> Option<T> {
        self.require(field, "one of the values that the API names", T::from_number(number))
    }

    /// A moment, or nothing.
    pub fn moment_or_none(
        &mut self,
        field: &str,
        at: Option<&prost_types::Timestamp>,
    ) -> Option<Option<OffsetDateTime>> {
        match at {
            None => Some(None),
            Some(at) => self.require(field, "a moment between the years 1 and 9999", moment(at)).map(Some),
        }
    }

    /// An article number.
    pub fn article(&mut self, field: &str, text: &str) -> Option<Article> {
        self.require(field, "the number of an article, 1-40", text.parse().ok())
    }

    /// The context that every call on a case carries.
    pub fn context(&mut self, context: Option<&v1::RequestContext>) -> Option<Context> {
        let context = self.require("context", "article, purpose, acting role and user_ref", context)?;
        let article = self.article("context.article", &context.article);
        let purpose = self.reference("context.purpose", &context.purpose);
        let role = self.word("context.acting_role", context.acting_role);
        let user_ref = self.reference("context.user_ref", &context.user_ref);
        let reason = self.text("context.reason", &context.reason, REASON);
        Some(Context { article: article?, purpose: purpose?, role: role?, user_ref: user_ref?, reason: reason? })
    }

    /// How many rows a page holds: 1 to `most`, `usual` for 0.
    pub fn page_size(&mut self, asked: i32, usual: i64, most: i64) -> Option<i64> {
        match i64::from(asked) {
            0 => Some(usual),
            size if (1..=most).contains(&size) => Some(size),
            _ => self.require("page_size", "0 for the usual size, or no more than the maximum", None),
        }
    }

    /// A page token that is the id of the last item before the page; empty for the first page.
    pub fn page_after(&mut self, token: &str) -> Option<String> {
        if token.is_empty() { Some(String::new()) } else { self.uuid("page_token", token) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> v1::RequestContext {
        v1::RequestContext {
            article: "12".into(),
            purpose: "triage".into(),
            acting_role: v1::Role::R03 as i32,
            user_ref: "mdw-17".into(),
            reason: String::new(),
        }
    }

    fn read(context: Option<&v1::RequestContext>) -> Result<Context, Refusal> {
        let mut fields = Fields::default();
        let context = fields.context(context);
        fields.done(context)
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        assert!(read(Some(&context())).is_ok());
        assert!(read(None).is_err());
        let bad =
            v1::RequestContext { article: "41".into(), acting_role: 99, user_ref: "Jan de Vries".into(), ..context() };
        let crate::ground::RefusalKind::Malformed(fields) = read(Some(&bad)).unwrap_err().kind else { panic!() };
        let named: Vec<&str> = fields.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(named, ["context.article", "context.acting_role", "context.user_ref"]);
    }

    #[test]
    fn a_bsn_in_text_has_its_own_reason_and_is_not_repeated() {
        for (user_ref, reason) in [("mdw-1", "over 999900006 gesproken"), ("999900006", ""), ("mdw-1", "99990000 6")] {
            let bad = v1::RequestContext { user_ref: user_ref.into(), reason: reason.into(), ..context() };
            let refusal = read(Some(&bad)).unwrap_err();
            assert_eq!(refusal.reason, Reason::BsnInText, "{user_ref} {reason}");
            assert!(!format!("{refusal:?}").contains("99990"));
        }
    }

    #[test]
    fn names_have_one_spelling() {
        let uuid = "0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10";
        for (name, good) in [
            (format!("cases/{uuid}"), true),
            (format!("cases/{}", uuid.to_uppercase()), false),
            (uuid.to_owned(), false),
            (format!("cases/{uuid}/x"), false),
            ("cases/".to_owned(), false),
        ] {
            let mut fields = Fields::default();
            assert_eq!(fields.named("case", "cases", &name).is_some(), good, "{name}");
        }
    }
}
