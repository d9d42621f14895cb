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

/// The hub names erasures, and shows something else of them, or of none that they are proven.
fn unproven(mut picture: Picture, change: fn(&mut v1::EventProof)) -> Picture {
    let [proof] = &mut picture.erasing[..] else { panic!("one erasure") };
    let before = proof.clone();
    change(proof);
    if *proof == before {
        proof.state = State::Unknown.into();
    }
    picture
}

/// The hub says of its erasures that they name another group too.
fn says(mut picture: Picture, group: &str) -> Picture {
    picture.erasures.values_mut().flatten().for_each(|erasure| erasure.groups.push(group.to_owned()));
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
    let unsaid = |said: &str, group: &str| format!("{}; and proves no erasure of {group} by one of them", by(said));
    for (what, picture, expected) in [
        ("a call", without(new(), 1, &["data"]).erased(1, &["data"]), vec![(Code::EventErased, name(1), by("data"))]),
        (
            "a call in two groups",
            without(new(), 1, &["case", "data"]).erased(1, &["case", "data"]),
            vec![(Code::EventErased, name(1), by("case, data"))],
        ),
        ("no erasure", without(new(), 1, &["data"]), vec![unnamed("data")]),
        (
            "an erasure that is not proven",
            unproven(without(new(), 1, &["data"]).erased(1, &["data"]), |_| {}),
            vec![(Code::EventDiffers, name(1), unsaid("data", "data"))],
        ),
        (
            "an erasure that names another group than is said",
            says(without(new(), 1, &["data", "case"]).erased(1, &["data"]), "case"),
            vec![(Code::EventDiffers, name(1), unsaid("data, case", "case"))],
        ),
        (
            "an erasure by a proof that does not hold",
            unproven(without(new(), 1, &["data"]).erased(1, &["data"]), |proof| {
                proof.leaf = String::from_utf8(proof.leaf.clone()).unwrap().replace("allowed", "refused").into();
            }),
            vec![
                (Code::EventDiffers, name(1), unsaid("data", "data")),
                (Code::ProofFails, name(99), "its proof does not hold".to_owned()),
            ],
        ),
        ("an erasure of something else", without(new(), 1, &["data"]).erased(1, &["case"]), vec![unnamed("data")]),
        ("an erasure of another event", without(new(), 1, &["data"]).erased(2, &["data"]), vec![unnamed("data")]),
        (
            "a record whose event is not shown any more",
            told_of(new(), &name(7)).erased(7, &["data"]),
            vec![(Code::EventErased, record(), by("data"))],
        ),
        (
            "a record whose event is said to be erased, and nothing proves it",
            unproven(told_of(new(), &name(7)).erased(7, &["data"]), |_| {}),
            vec![(
                Code::RecordNotLogged,
                record(),
                format!("{}; and proves no erasure of it by one of them", by("data")),
            )],
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
