//! Calls of the service `Consents`.

use super::super::call;
use super::super::file::Step;
use super::super::outcome::{Attempt, Got};
use super::super::word::numbers;
use super::{ConnectError, Stage, context, request_id};
use crate::api::v1 as api;
use crate::api::v1::consents_client::ConsentsClient;

impl Stage {
    pub(super) async fn consent(&mut self, step: &Step, call: &call::Consent) -> Result<Attempt, ConnectError> {
        let scope = api::ConsentScope {
            articles: call.articles.clone(),
            categories: numbers(&call.categories),
            recipients: self.names.partners(&call.recipients),
            recipient_roles: numbers(&call.recipient_roles),
            sources: self.names.partners(&call.sources),
            explicit: call.explicit,
        };
        let request = api::RecordConsentRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            giver: call.giver.number(),
            scope: Some(scope),
            text_version: call.text_version.clone(),
            expire_time: None,
        };
        let answer = ConsentsClient::new(self.channel(step).await?).record_consent(request).await;
        if let (Ok(response), Some(label)) = (&answer, &call.label) {
            self.names.learn_consent(label, &response.get_ref().name, &call.case);
        }
        Ok(Attempt::of(answer, |_| Got::default()))
    }

    pub(super) async fn withdraw(&mut self, step: &Step, call: &call::Withdraw) -> Result<Attempt, ConnectError> {
        let consent = self.names.consent(&call.consent);
        let name = self.nested(&consent, &step.who).await?;
        let request = api::WithdrawConsentRequest { request_id: request_id(), context: context(step), name };
        let answer = ConsentsClient::new(self.channel(step).await?).withdraw_consent(request).await;
        Ok(Attempt::of(answer, |_| Got::default()))
    }
}
