//! From the API's enumerations to the covenant's words. A number that is no word is `None`.

use crate::api::v1;
use crate::party::{Article, Category, Form, Oin, Role};

pub(super) fn category(number: i32) -> Option<Category> {
    word(v1::Category::try_from(number).ok()?.as_str_name(), "CATEGORY_")
}

pub(super) fn role(number: i32) -> Option<Role> {
    word(v1::Role::try_from(number).ok()?.as_str_name(), "ROLE_")
}

pub(super) fn form(number: i32) -> Option<Form> {
    match v1::Form::try_from(number).ok()? {
        v1::Form::Open => Some(Form::Open),
        other => word(other.as_str_name(), "FORM_"),
    }
}

pub(super) fn article(text: &str) -> Option<Article> {
    text.parse().ok()
}

/// The OIN in `partners/{oin}`.
pub(super) fn partner(name: &str) -> Option<Oin> {
    name.strip_prefix("partners/")?.parse().ok()
}

/// The UUID in a name like `records/{uuid}`, in its usual form.
pub(super) fn id(name: &str, collection: &str) -> Option<uuid::Uuid> {
    let text = name.strip_prefix(collection)?.strip_prefix('/')?;
    uuid::Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)
}

fn word<T: std::str::FromStr>(name: &str, prefix: &str) -> Option<T> {
    name.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_covenant_is_found_in_the_api() {
        for (index, wanted) in Category::ALL.iter().enumerate() {
            assert_eq!(category(i32::try_from(index).unwrap() + 1), Some(*wanted));
        }
        for (index, wanted) in Role::ALL.iter().enumerate() {
            assert_eq!(role(i32::try_from(index).unwrap() + 1), Some(*wanted));
        }
        for (index, wanted) in Form::ALL.iter().enumerate() {
            assert_eq!(form(i32::try_from(index).unwrap() + 1), Some(*wanted));
        }
        for stranger in [-1, 0, 99] {
            assert_eq!((category(stranger), role(stranger), form(stranger)), (None, None, None));
        }
    }

    #[test]
    fn names_have_one_spelling() {
        let uuid = "0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10";
        assert!(id(&format!("cases/{uuid}"), "cases").is_some());
        for name in ["", "cases/", uuid, &format!("records/{uuid}"), &format!("cases/{}", uuid.to_uppercase())] {
            assert!(id(name, "cases").is_none(), "{name}");
        }
    }
}
