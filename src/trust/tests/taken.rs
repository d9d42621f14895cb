//! Why a certificate was taken back, whoever judges it no more.

use super::*;

#[test]
fn a_list_counts_that_its_issuer_signed_and_says_the_worst_without_a_reason() {
    let root = authority("Root", None, |_| {});
    let tsp = authority("TSP", Some(&root), |params| params.serial_number = Some(SerialNumber::from_slice(&[5])));
    let impostor = authority("TSP", None, |_| {});
    let chain = [leaf(&tsp, |_| {}), tsp.der().clone()];
    for (what, lists, expected) in [
        ("none", vec![], None),
        ("others", vec![list(&tsp, NOW, &[8]), list(&root, NOW, &[8])], None),
        ("the leaf", vec![list(&tsp, NOW, &[8, 9])], Some(TakenBack::Exposed)),
        ("long ago", vec![list(&tsp, NOW - DAY * 900, &[9])], Some(TakenBack::Exposed)),
        ("its issuer, by the root", vec![list(&root, NOW, &[5])], Some(TakenBack::Exposed)),
        ("of the same name by somebody else", vec![list(&impostor, NOW, &[9])], None),
        ("by the root, which did not issue it", vec![list(&root, NOW, &[9])], None),
    ] {
        let lists = lists.iter().map(|der| List::read(der).unwrap()).collect();
        let anchors = [root.der().clone()];
        let trust = Trust::new(
            Environment::Test,
            vec![Set::awaiting("g4", profile(), &anchors, lists, Environment::Test).unwrap()],
        );
        assert_eq!(trust.taken_back(&chain), expected, "{what}");
    }
    let alone = Trust::new(Environment::Test, vec![]);
    assert_eq!(alone.taken_back(&[b"no certificate"]), None);
    assert!(TakenBack::Ceased < TakenBack::Exposed, "the worse one counts");
}
