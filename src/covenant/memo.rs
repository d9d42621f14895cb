//! Answers given before. A question is a few closed words and a number, the answer depends on nothing else, and calls ask
//! the same again and again; Cedar is asked once. The memory is the covenant version's own, and ends with it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

use super::facts::Question;
use super::{Denial, Permit};

/// Parts with a lock of their own, so that calls do not wait for one another.
const PARTS: usize = 16;
/// Answers in one part; a full one begins anew. A network asks some hundreds of different questions.
const ROOM: usize = 1024;

type Answer = Result<Permit, Denial>;

/// What was answered to what.
#[derive(Default)]
pub(super) struct Memo {
    parts: [Mutex<HashMap<Question, Answer>>; PARTS],
    hasher: RandomState,
}

impl Memo {
    /// The answer to this question: the one given before, or what `decide` says.
    pub(super) fn answer(&self, question: &Question, decide: impl FnOnce() -> Answer) -> Answer {
        let Some(part) = self.part(question) else { return decide() };
        // A panic elsewhere leaves a map that is whole: an answer goes in at once.
        if let Some(answer) = part.lock().unwrap_or_else(PoisonError::into_inner).get(question) {
            return answer.clone();
        }
        let answer = decide();
        // A fault is looked at again: it may be ours and passing.
        if !answer.as_ref().is_err_and(|denial| denial.fault) {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            if part.len() >= ROOM {
                part.clear();
            }
            part.insert(question.clone(), answer.clone());
        }
        answer
    }

    fn part(&self, question: &Question) -> Option<&Mutex<HashMap<Question, Answer>>> {
        self.parts.get(usize::try_from(self.hasher.hash_one(question) % PARTS as u64).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::covenant::facts::{Action, Actor, Purpose};
    use crate::party::{Article, OrgKind, Role};

    fn question(recipients: u32) -> Question {
        Question {
            action: Action::Refer,
            article: Article::new(10).unwrap(),
            purpose: Purpose::Advies,
            actor: Actor::participant(OrgKind::Gemeente, Role::R02),
            other: None,
            case: None,
            item: None,
            recipients,
            reason_given: true,
        }
    }

    fn no(step: u8) -> Answer {
        Err(Denial { step, fault: step == 0, ..Denial::fault() })
    }

    #[test]
    fn a_question_is_decided_once_a_fault_each_time() {
        let memo = Memo::default();
        assert_eq!(memo.answer(&question(1), || no(5)), no(5));
        assert_eq!(memo.answer(&question(1), || panic!("decided again")), no(5));
        assert_eq!(memo.answer(&question(2), || no(7)), no(7), "another question");
        assert_eq!(memo.answer(&question(3), || no(0)), no(0));
        assert_eq!(memo.answer(&question(3), || no(8)), no(8), "a fault is no answer");
    }

    #[test]
    fn the_memory_is_bounded() {
        let memo = Memo::default();
        for recipients in 0..200_000 {
            let _ = memo.answer(&question(recipients), || no(5));
        }
        assert!(memo.parts.iter().all(|part| part.lock().unwrap().len() <= ROOM));
    }
}
