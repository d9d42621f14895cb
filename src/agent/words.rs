//! Resource names of the API, in the one spelling that they have.

use crate::party::Oin;

/// The OIN in `partners/{oin}`.
pub(super) fn partner(name: &str) -> Option<Oin> {
    name.strip_prefix("partners/")?.parse().ok()
}

/// The UUID in a name like `records/{uuid}`, in its usual form.
pub(super) fn id(name: &str, collection: &str) -> Option<uuid::Uuid> {
    let text = name.strip_prefix(collection)?.strip_prefix('/')?;
    uuid::Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let uuid = "0b0e7d38-7a5c-4a39-9d1c-0a6f3a1e9f10";
        assert!(id(&format!("cases/{uuid}"), "cases").is_some());
        for name in ["", "cases/", uuid, &format!("records/{uuid}"), &format!("cases/{}", uuid.to_uppercase())] {
            assert!(id(name, "cases").is_none(), "{name}");
        }
    }
}
