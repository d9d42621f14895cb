//! A call at the hub, from its start to its answer: whatever comes back is written down, and also that nothing came.

use time::OffsetDateTime;
use tonic::{Code, Response, Status};

use super::{Receipts, Settle};
use crate::agent::Agent;
use crate::agent::nodes::{Again, Node, was_never_sent};
use crate::api::v1;
use crate::clock::{from_micros, micros};
use crate::reconcile::journal::{Call, Called, Lost, OK};

/// What is called, and as what it should stand in the log.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Asked {
    called: Called,
    settle: Settle,
}

impl From<&'static str> for Asked {
    fn from(method: &'static str) -> Self {
        Self { called: Called::Rpc(method.to_owned()), settle: Settle::Later }
    }
}

impl Asked {
    /// A report that a call was refused.
    pub(in crate::agent) fn refusing(report: &v1::ReportRefusalRequest) -> Self {
        let (of, request_id) = (report.method.clone(), report.request_id.clone());
        Self { called: Called::Report { of, request_id }, settle: Settle::Later }
    }

    /// A call whose receipt is written down and not asked after.
    pub(super) fn in_passing(method: &'static str) -> Self {
        Self { settle: Settle::Never, ..Self::from(method) }
    }

    fn call(&self, code: Option<Code>, at: OffsetDateTime) -> Call {
        let outcome = code.map_or_else(|| OK.to_owned(), |code| format!("{code:?}"));
        Call { called: self.called.clone(), outcome, at: micros(at) }
    }
}

/// A call that has no answer yet. That it is made stands in the journal before it is made, and how it ended before that line goes.
struct Attempt<'r> {
    receipts: &'r Receipts,
    asked: Asked,
    /// Microseconds; no two attempts begin at the same one.
    since: i64,
    answered: bool,
}

impl<'r> Attempt<'r> {
    fn begin(receipts: &'r Receipts, asked: Asked) -> Self {
        let since = receipts.under_way().begin(&asked.called, micros(receipts.clock.now()));
        Self { receipts, asked, since, answered: false }
    }

    fn ends<O>(mut self, answer: &Result<Response<O>, Status>) {
        let metadata = answer.as_ref().map_or_else(Status::metadata, Response::metadata);
        let code = answer.as_ref().err().map(Status::code);
        let call = self.asked.call(code, self.receipts.clock.now());
        let kept = self.receipts.keep(metadata, call, from_micros(self.since), self.asked.settle);
        self.answered = kept || answer.as_ref().err().is_some_and(was_never_sent);
    }
}

impl Drop for Attempt<'_> {
    /// Also when whoever called has left.
    fn drop(&mut self) {
        if !self.answered {
            let (called, until) = (self.asked.called.clone(), micros(self.receipts.clock.now()));
            let lost = Lost { called, since: self.since, until };
            self.receipts.write("lost", self.since, &lost.to_string());
        }
        self.receipts.under_way().end(self.since);
    }
}

impl Receipts {
    /// Waits for an answer of the hub, and writes down what came.
    pub(in crate::agent) async fn watch<O>(
        &self,
        asked: Asked,
        call: impl Future<Output = Result<Response<O>, Status>>,
    ) -> Result<Response<O>, Status> {
        let attempt = Attempt::begin(self, asked);
        let answer = call.await;
        attempt.ends(&answer);
        answer
    }

    /// Keeps the receipt that came at the end of a stream, with the reason why it ended.
    pub(in crate::agent) fn ended(&self, method: &'static str, status: &Status) {
        let now = self.clock.now();
        let call = Asked::from(method).call(Some(status.code()), now);
        self.keep(status.metadata(), call, now, Settle::Later);
    }
}

impl Agent {
    /// A call at the hub. Whatever comes back, from whichever node, the receipt that comes with it is kept.
    pub(in crate::agent) async fn at_hub<O, F>(
        &self,
        asked: impl Into<Asked>,
        again: Again,
        mut call: impl FnMut(Node) -> F,
    ) -> Result<Response<O>, Status>
    where
        F: Future<Output = Result<Response<O>, Status>>,
    {
        let asked = asked.into();
        let watched = |node: Node| {
            let (call, asked) = (call(node), asked.clone());
            async move {
                let answer = match &self.receipts {
                    Some(receipts) => receipts.watch(asked, call).await,
                    None => call.await,
                };
                self.links.heard(&answer);
                answer
            }
        };
        self.links.hub.call(again, watched).await
    }

    /// A stream of the hub ended early: what it said of its log is kept.
    pub(in crate::agent) fn stream_ended(&self, method: &'static str, status: &Status) {
        if let Some(receipts) = &self.receipts {
            receipts.ended(method, status);
        }
    }
}
