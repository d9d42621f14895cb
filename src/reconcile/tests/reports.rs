//! Refusals that the agent reports, and answers that are lost on the way back.

use super::*;

const REPORT: &str = "sluis.v1.Audit/ReportRefusal";

/// As the hub writes a refusal that an agent reports.
fn refusal(nth: u8) -> v1::Event {
    v1::Event { outcome: v1::Outcome::Refused.into(), ..event(nth) }
}

/// As it writes the report itself: when it comes once more, or is refused.
fn itself(nth: u8, outcome: v1::Outcome) -> v1::Event {
    v1::Event { method: REPORT.into(), outcome: outcome.into(), ..event(nth) }
}

fn report(request_id: &str) -> Called {
    Called::Report { of: GET.into(), request_id: request_id.into() }
}

/// What the agent did, and got no answer.
fn lost(mut picture: Picture, called: &Called) -> Picture {
    picture.journal.add_lost(&format!("{called} {} {}\n", FROM + 4 * SECOND, FROM + 6 * SECOND));
    picture
}

/// What it got an answer to.
fn answered(mut picture: Picture, nth: u8, called: Called, outcome: &str) -> Picture {
    let event = picture.events.iter().find(|event| event.name == name(nth)).unwrap();
    let mut promise = promise(event, &picture.log);
    let call = promise.call.as_mut().unwrap();
    (call.called, call.outcome) = (called, outcome.into());
    picture.journal.add_open(&format!("{promise}\n"));
    picture
}

#[test]
fn an_answer_that_is_lost_is_no_difference_whether_the_report_is_sent_again_or_not() {
    let new = Picture::new;
    let repeat = |nth| itself(nth, v1::Outcome::Allowed);
    let denied = |nth| itself(nth, v1::Outcome::Refused);
    let once = || new().with(refusal(5));
    let twice = || once().with(repeat(6));
    let mut killed = once();
    killed.journal.add_under_way(&format!("+ {} {}\n", FROM + 4 * SECOND, report("r")));
    let mut ended = once();
    ended.journal.add_under_way(&format!("+ 7 {}\n- 7\n", report("r")));
    let is_lost = |nth| (Code::AnswerLost, name(nth));
    for (what, picture, expected) in [
        ("reported", answered(once(), 5, report("r"), OK), vec![]),
        ("lost", lost(once(), &report("r")), vec![is_lost(5)]),
        ("lost with the agent", killed, vec![is_lost(5)]),
        ("sent again", answered(lost(twice(), &report("r")), 6, report("r"), OK), vec![is_lost(5)]),
        ("lost twice", lost(lost(twice(), &report("r")), &report("r")), vec![is_lost(5), is_lost(6)]),
        ("refused", answered(new().with(denied(5)), 5, report("r"), "PermissionDenied"), vec![]),
        ("refused and lost", lost(new().with(denied(5)), &report("r")), vec![is_lost(5)]),
        ("never carried out", lost(new(), &report("r")), vec![]),
        // And what is one all the same.
        ("nothing was reported", once(), vec![(Code::EventUnknown, name(5))]),
        ("it has ended", ended, vec![(Code::EventUnknown, name(5))]),
        (
            "once, and there are two",
            lost(once().with(refusal(6)), &report("r")),
            vec![(Code::EventUnknown, name(6)), is_lost(5)],
        ),
        ("carried out after all", lost(new().with(event(5)), &report("r")), vec![(Code::EventUnknown, name(5))]),
        (
            "said to have come before",
            answered(new().with(repeat(5)), 5, report("r"), OK),
            vec![(Code::MethodDiffers, name(5)), (Code::OutcomeDiffers, name(5))],
        ),
        (
            "another report came before",
            answered(lost(twice(), &report("s")), 6, report("r"), OK),
            vec![(Code::MethodDiffers, name(6)), (Code::OutcomeDiffers, name(6)), is_lost(5)],
        ),
        (
            "written down as allowed",
            answered(new().with(event(5)), 5, report("r"), OK),
            vec![(Code::OutcomeDiffers, name(5))],
        ),
        (
            "taken, said to be refused",
            answered(once(), 5, report("r"), "PermissionDenied"),
            vec![(Code::MethodDiffers, name(5))],
        ),
    ] {
        assert_eq!(picture.found(), expected, "{what}");
    }
}
