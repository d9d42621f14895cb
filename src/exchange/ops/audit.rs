//! Refusals that an agent reports.

use super::super::facts::Facts;
use super::super::{Decided, Exchange, Operation, Target};
use crate::api::v1;
use crate::audit::Draft;
use crate::form::{Context, Fields};
use crate::ground::{Ground, Refusal};
use crate::method::{Admitted, Callers, METHODS, Method};
use crate::party::Category;
use crate::reason::Reason;
use crate::store::{Tx, WorkError};

/// `Audit.ReportRefusal`.
pub struct ReportRefusal {
    request_id: String,
    context: Option<Context>,
    case: String,
    method: &'static Method,
    reason: Reason,
    categories: Vec<Category>,
}

impl Operation for ReportRefusal {
    type Message = v1::ReportRefusalRequest;
    type Reply = v1::ReportRefusalResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        // The refused request may have been refused for its context, so a context that can't be read is left out.
        let context = Fields::default().context(message.context.as_ref());
        let case =
            if message.case.is_empty() { Some(String::new()) } else { fields.named("case", "cases", &message.case) };
        let for_partners = |method: &&Method| method.callers == Callers::Organisations;
        let method = METHODS.iter().filter(for_partners).find(|method| method.name == message.method);
        if method.is_none() {
            fields.wrong("method", "package.Service/Method of this API");
        }
        let reason = message.reason.parse().ok().filter(|r| matches!(r, Reason::BsnInText | Reason::RequestIncomplete));
        if reason.is_none() {
            fields.wrong("reason", "BSN_IN_TEXT or REQUEST_INCOMPLETE: what an agent refuses by itself");
        }
        let categories = fields.words("categories", &message.categories);
        fields.done((|| {
            Some(Self {
                request_id: request_id?,
                context,
                case: case?,
                method: method?,
                reason: reason?,
                categories: categories?,
            })
        })())
    }

    fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn target(&self) -> Target<'_> {
        if self.case.is_empty() { Target::Nothing } else { Target::Case(&self.case) }
    }

    fn describe(&self, _: &Facts, draft: &mut Draft) {
        draft.categories.clone_from(&self.categories);
    }

    fn decide(&self, _: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    /// The line reads as the refusal that it reports.
    async fn apply(
        &self,
        _: &Exchange,
        _: &mut Tx<'_>,
        _: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::ReportRefusalResponse, WorkError> {
        draft.method = self.method.name;
        draft.action = Some(self.method.action);
        draft.reported = Some(self.reason);
        Ok(v1::ReportRefusalResponse {})
    }
}
