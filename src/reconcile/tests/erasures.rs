//! What was erased: neither a difference nor in agreement, and by what.

use super::*;

/// What is found with what is said on either side.
fn said(picture: &Picture) -> Vec<(Code, String, String)> {
    picture.reconciled().differences.into_iter().map(|one| (one.code, one.about, one.hub)).collect()
}

/// The agent was told of a record that no event is about, and by which event it came.
fn told_of(mut picture: Picture, event: &str) -> Picture {
    let (at, made) = (FROM + 9 * SECOND, FROM + 8 * SECOND);
    picture.journal.add_received(&format!("{}\n", told("records/x", at, made, event)));
    picture
}

/// The hub shows an event without some groups.
fn without(mut picture: Picture, nth: u8, groups: &[&str]) -> Picture {
    picture.answer(nth).event.erased = groups.iter().map(|group| (*group).to_owned()).collect();
    picture
}

#[test]
fn what_was_erased_is_told_with_the_erasure_and_is_neither_a_difference_nor_equal() {
    let new = Picture::new;
    let by = |groups: &str| format!("erased, cannot be compared: {groups} by {}", name(99));
    let record = || "records/x".to_owned();
    let unknown = || (Code::RecordNotLogged, record(), "no event of this record".to_owned());
    let unnamed = |group: &str| {
        let hub = format!("says that {group} is erased, and names no erasure of it");
        (Code::EventDiffers, name(1), hub)
    };
    for (what, picture, expected) in [
        ("a call", without(new(), 1, &["data"]).erased(1, &["data"]), vec![(Code::EventErased, name(1), by("data"))]),
        (
            "a call in two groups",
            without(new(), 1, &["case", "data"]).erased(1, &["case", "data"]),
            vec![(Code::EventErased, name(1), by("case, data"))],
        ),
        ("no erasure", without(new(), 1, &["data"]), vec![unnamed("data")]),
        ("an erasure of something else", without(new(), 1, &["data"]).erased(1, &["case"]), vec![unnamed("data")]),
        ("an erasure of another event", without(new(), 1, &["data"]).erased(2, &["data"]), vec![unnamed("data")]),
        (
            "a record whose event is not shown any more",
            told_of(new(), &name(7)).erased(7, &["data"]),
            vec![(Code::EventErased, record(), by("data"))],
        ),
        ("a record that nothing is known of", told_of(new(), &name(7)), vec![unknown()]),
        ("a record by another event", told_of(new(), &name(7)).erased(8, &["data"]), vec![unknown()]),
        ("a record of which only the case is erased", told_of(new(), &name(7)).erased(7, &["case"]), vec![unknown()]),
        ("a record from before the hub said by what", told_of(new(), ""), vec![unknown()]),
        (
            "such a record, and an event of that moment",
            without(
                told_of(new(), "").with(v1::Event { record: String::new(), recipients: vec![], ..sent(8) }),
                8,
                &["data"],
            )
            .erased(8, &["data"]),
            vec![(Code::EventErased, record(), by("data"))],
        ),
    ] {
        assert_eq!(said(&picture), expected, "{what}");
    }
}
