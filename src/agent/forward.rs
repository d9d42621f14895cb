//! From a local call to the hub: looked through first, then passed on, and the answer passed back as it came.

use std::time::Duration;

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::Agent;
use super::links::HUB;
use super::nodes::{Again, Node};
use super::receipts::Asked;
use super::refusal::{Violation, event_of, invalid, passed_on, upstream};
use crate::api::v1;
use crate::api::v1::audit_client::AuditClient;
use crate::inspect::{BsnField, Look};
use crate::pseudonym::contains_bsn;
use crate::reason::Reason;
use crate::redact::log;
use crate::serve::leash::Leash;

/// Stands in a report for an employee reference that can't be repeated.
const WITHHELD: &str = "withheld";
/// A deadline further away is not passed on.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Metadata that goes along to the hub: the caller's trace (W3C Trace Context).
const ALONG: [&str; 2] = ["traceparent", "tracestate"];

impl Agent {
    /// One call, one answer.
    pub(super) async fn unary<I, O, F>(
        &self,
        method: &'static str,
        request: Request<I>,
        call: impl Fn(Channel, Request<I>) -> F,
    ) -> Result<Response<O>, Status>
    where
        I: Message + Clone,
        F: Future<Output = Result<Response<O>, Status>>,
    {
        let look = self.inspect(method, request.get_ref()).await?;
        self.send(method, request, Again::by(&look), call).await
    }

    /// Passes on what was looked through already.
    pub(super) async fn send<I, O, F>(
        &self,
        method: &'static str,
        request: Request<I>,
        again: Again,
        call: impl Fn(Channel, Request<I>) -> F,
    ) -> Result<Response<O>, Status>
    where
        I: Clone,
        F: Future<Output = Result<Response<O>, Status>>,
    {
        let request = onward(request);
        let answer = self.at_hub(method, again, |node| call(node.channel, copy(&request))).await;
        answer.map(passed_on).map_err(|status| upstream(&status, HUB))
    }

    /// As [`Self::send`], when the request is about a subject: to a node that finds the same known answer only.
    pub(super) async fn send_subject<I, O, F>(
        &self,
        method: &'static str,
        request: Request<I>,
        again: Again,
        call: impl Fn(Channel, Request<I>) -> F,
    ) -> Result<Response<O>, Status>
    where
        I: Clone,
        F: Future<Output = Result<Response<O>, Status>>,
    {
        let request = onward(request);
        let at = |node: Node| {
            let call = call(node.channel.clone(), copy(&request));
            async move {
                self.links.agreed_with(&node).await?;
                call.await
            }
        };
        let answer = self.at_hub(method, again, at).await;
        answer.map(passed_on).map_err(|status| upstream(&status, HUB))
    }

    /// Refuses a request with a citizen service number in a text.
    pub(super) async fn inspect(&self, method: &'static str, request: &impl Message) -> Result<Look, Status> {
        let bytes = Zeroizing::new(request.encode_to_vec());
        let look = self.shapes.look(method, &bytes, BsnField::CheckedElsewhere);
        let look = look.map_err(|_| Status::internal("the request can't be read"))?;
        if look.dirty.is_empty() { Ok(look) } else { Err(self.refuse_bsn(method, &look).await) }
    }

    pub(super) async fn refuse_bsn(&self, method: &'static str, look: &Look) -> Status {
        let text = |field: &String| Violation::new(field, "text without a number that passes the elfproef of a BSN");
        let violations: Vec<Violation> = look.dirty.iter().map(text).collect();
        self.refuse(method, look, Reason::BsnInText, &violations).await
    }

    /// Refuses a request that never reaches the hub, once the refusal is on the hub's log (guarantee G1).
    pub(super) async fn refuse(
        &self,
        method: &'static str,
        look: &Look,
        reason: Reason,
        violations: &[Violation],
    ) -> Status {
        let report = v1::ReportRefusalRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            context: look.context.as_ref().map(cleaned),
            case: look.case.clone(),
            method: method.to_owned(),
            reason: reason.code().to_owned(),
            categories: look.categories.iter().copied().filter(|n| v1::Category::try_from(*n).is_ok()).collect(),
        };
        let tell = |node: Node| {
            let report = report.clone();
            async move { AuditClient::new(node.channel).report_refusal(report).await }
        };
        let answer = self.at_hub(Asked::refusing(&report), Again::Yes, tell).await;
        let event = match &answer {
            Ok(answer) => event_of(answer.metadata()),
            // The hub may refuse the report itself, for example because the covenant is not signed: an event too.
            Err(status) => event_of(status.metadata()),
        };
        tracing::info!(reason = log(&reason), method, reported = event.is_some(), "refused");
        match event {
            Some(event) => invalid(reason, violations, &event),
            None => Status::unavailable(
                "the request is refused, but the refusal could not be put on the hub's log; nothing was sent",
            ),
        }
    }
}

/// A request for the hub with the same message, and nothing else than what goes along.
pub(super) fn onward<T>(request: Request<T>) -> Request<T> {
    Along::of(&request).request(request.into_inner())
}

/// What goes along with whatever a call asks of the hub: of its metadata only the trace, and of its time what is left.
pub(super) struct Along {
    trace: MetadataMap,
    leash: Option<Leash>,
}

impl Along {
    /// Of this call.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let mut trace = MetadataMap::new();
        for key in ALONG {
            if let Some(value) =
                request.metadata().get(key).filter(|v| v.to_str().is_ok_and(|text| !contains_bsn(text)))
            {
                trace.insert(key, value.clone());
            }
        }
        Self { trace, leash: leash(request) }
    }

    /// A request of this call.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().clone_from(&self.trace);
        if let Some(leash) = &self.leash {
            within(&mut request, Some(leash));
            request.extensions_mut().insert(leash.clone());
        }
        request
    }
}

/// What holds a call.
pub(super) fn leash<T>(request: &Request<T>) -> Option<Leash> {
    request.extensions().get::<Leash>().cloned()
}

/// Tells hub or keyholder how long an answer is waited for.
pub(super) fn within<T>(request: &mut Request<T>, leash: Option<&Leash>) {
    if let Some(left) = leash.and_then(Leash::remaining).filter(|left| *left < LONGEST) {
        request.set_timeout(left);
    }
}

/// The same request once more, for another node.
pub(super) fn copy<T: Clone>(request: &Request<T>) -> Request<T> {
    let mut copy = Request::new(request.get_ref().clone());
    copy.metadata_mut().clone_from(request.metadata());
    // Less is left by now.
    within(&mut copy, request.extensions().get());
    copy
}

/// A context that may go on the log: what can't be repeated is left out.
fn cleaned(context: &v1::RequestContext) -> v1::RequestContext {
    let clean = |text: &String, instead: &str| if contains_bsn(text) { instead.to_owned() } else { text.clone() };
    v1::RequestContext {
        article: clean(&context.article, ""),
        purpose: clean(&context.purpose, ""),
        acting_role: context.acting_role,
        user_ref: clean(&context.user_ref, WITHHELD),
        reason: String::new(),
    }
}
