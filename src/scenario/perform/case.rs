//! Calls of the service `Cases`, and pseudonyms.

use time::Duration;

use super::super::call;
use super::super::file::Step;
use super::super::outcome::{Attempt, Got};
use super::super::word::{numbers, word_of};
use super::{ConnectError, Stage, context, request_id};
use crate::api::v1 as api;
use crate::api::v1::cases_client::CasesClient;
use crate::api::v1::pseudonyms_client::PseudonymsClient;

/// Calls of `Cases` that differ in their request only.
macro_rules! case_call {
    ($stage:ident, $step:ident, $method:ident, $request:expr) => {{
        let channel = $stage.channel($step).await?;
        Ok(Attempt::of(CasesClient::new(channel).$method($request).await, |_| Got::default()))
    }};
}

impl Stage {
    pub(super) async fn refer(&mut self, step: &Step, call: &call::Refer) -> Result<Attempt, ConnectError> {
        let request = api::ReferCaseRequest {
            request_id: request_id(),
            context: context(step),
            subject: Some(self.subject(&call.youth)),
            regime: Some(regime(&call.regime)),
            holder: call.holder.as_ref().map(|id| self.names.partner(id)).unwrap_or_default(),
        };
        let answer = CasesClient::new(self.channel(step).await?).refer_case(request).await;
        if let Ok(response) = &answer {
            self.names.learn_case(&call.label, &step.who, &response.get_ref().name);
            for partner in self.coordinators.iter().chain(&call.holder).filter(|id| **id != step.who) {
                self.names.await_case(&call.label, partner);
            }
        }
        Ok(Attempt::of(answer, |_| Got::default()))
    }

    pub(super) async fn case(&mut self, step: &Step, call: &call::Case) -> Result<Attempt, ConnectError> {
        let view = if call.participants { api::CaseView::Participants } else { api::CaseView::Unspecified };
        let request = api::GetCaseRequest {
            context: context(step),
            name: self.optional_case(call.case.as_ref(), &step.who).await?,
            subject: call.youth.as_ref().map(|youth| self.subject(youth)),
            view: view.into(),
        };
        let answer = CasesClient::new(self.channel(step).await?).get_case(request).await;
        Ok(Attempt::of(answer, |case| {
            let mut got = Got::default();
            let phase = word_of(case.phase().as_str_name(), "PHASE_");
            if call.phase.is_some_and(|wanted| wanted.0 != case.phase()) {
                got.complaints.push(format!("the case is in phase {phase}"));
            }
            if call.participants && case.participants.is_empty() {
                got.complaints.push("nobody else takes part".to_owned());
            }
            got
        }))
    }

    pub(super) async fn cases(&mut self, step: &Step, call: &call::Cases) -> Result<Attempt, ConnectError> {
        let request = api::ListCasesRequest { context: context(step), ..Default::default() };
        let answer = CasesClient::new(self.channel(step).await?).list_cases(request).await;
        Ok(Attempt::of(answer, |list| {
            let found = list.cases.len();
            let wrong = call.count.filter(|wanted| *wanted != found).map(|_| format!("{found} cases"));
            Got { complaints: wrong.into_iter().collect(), ..Got::default() }
        }))
    }

    pub(super) async fn assign(&mut self, step: &Step, call: &call::Assign) -> Result<Attempt, ConnectError> {
        let request = api::AssignRoleRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            role: call.gives.number(),
            partner: call.to.as_ref().map(|id| self.names.partner(id)).unwrap_or_default(),
            external_kind: call.external.map_or(0, |kind| kind.number()),
            directly_involved: call.directly_involved,
            end_time: None,
        };
        let answer = CasesClient::new(self.channel(step).await?).assign_role(request).await;
        if let Ok(response) = &answer {
            if let Some(partner) = &call.to {
                self.names.await_case(&call.case, partner);
            }
            if let Some(label) = &call.label {
                self.names.learn_assignment(label, &response.get_ref().name, &call.case);
            }
        }
        Ok(Attempt::of(answer, |_| Got::default()))
    }

    pub(super) async fn end(&mut self, step: &Step, call: &call::End) -> Result<Attempt, ConnectError> {
        let assignment = self.names.assignment(&call.assignment);
        let name = self.nested(&assignment, &step.who).await?;
        let request = api::EndRoleRequest { request_id: request_id(), context: context(step), name };
        case_call!(self, step, end_role, request)
    }

    pub(super) async fn advance(&mut self, step: &Step, call: &call::Advance) -> Result<Attempt, ConnectError> {
        let case = self.case_name(&call.case, &step.who).await?;
        let phase = call.to.number();
        let request = api::AdvancePhaseRequest { request_id: request_id(), context: context(step), case, phase };
        case_call!(self, step, advance_phase, request)
    }

    pub(super) async fn handover(&mut self, step: &Step, call: &call::Handover) -> Result<Attempt, ConnectError> {
        let case = self.case_name(&call.case, &step.who).await?;
        let partner = self.names.partner(&call.to);
        let request = api::HandOverCaseRequest { request_id: request_id(), context: context(step), case, partner };
        let answer = CasesClient::new(self.channel(step).await?).hand_over_case(request).await;
        if answer.is_ok() {
            self.names.await_case(&call.case, &call.to);
        }
        Ok(Attempt::of(answer, |_| Got::default()))
    }

    pub(super) async fn choose(&mut self, step: &Step, call: &call::Choose) -> Result<Attempt, ConnectError> {
        let case = self.case_name(&call.case, &step.who).await?;
        let partner = self.names.partner(&call.provider);
        let request = api::ChooseProviderRequest { request_id: request_id(), context: context(step), case, partner };
        case_call!(self, step, choose_provider, request)
    }

    pub(super) async fn measure(&mut self, step: &Step, call: &call::Measure) -> Result<Attempt, ConnectError> {
        let start = self.now();
        let request = api::RecordMeasureRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            kind: call.kind.number(),
            executing_partner: self.names.partner(&call.by),
            start_time: Some(start),
            end_time: call.days.map(|days| {
                let seconds = start.seconds.saturating_add(Duration::days(days).whole_seconds());
                prost_types::Timestamp { seconds, nanos: 0 }
            }),
        };
        case_call!(self, step, record_measure, request)
    }

    pub(super) async fn regime(&mut self, step: &Step, call: &call::Regime) -> Result<Attempt, ConnectError> {
        let request = api::UpdateConsentRegimeRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            regime: Some(regime(&call.regime)),
        };
        case_call!(self, step, update_consent_regime, request)
    }

    pub(super) async fn restrict(&mut self, step: &Step, call: &call::Restrict) -> Result<Attempt, ConnectError> {
        let request = api::RestrictCaseRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            kind: call.kind.number(),
            lift: call.lift,
        };
        case_call!(self, step, restrict_case, request)
    }

    pub(super) async fn escalate(&mut self, step: &Step, call: &call::Escalate) -> Result<Attempt, ConnectError> {
        let request = api::StartEscalationRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            partner: self.names.partner(&call.to),
        };
        let answer = CasesClient::new(self.channel(step).await?).start_escalation(request).await;
        if answer.is_ok() {
            self.names.await_case(&call.case, &call.to);
        }
        Ok(Attempt::of(answer, |_| Got::default()))
    }

    pub(super) async fn deescalate(&mut self, step: &Step, call: &call::Deescalate) -> Result<Attempt, ConnectError> {
        let case = self.case_name(&call.case, &step.who).await?;
        let request = api::EndEscalationRequest { request_id: request_id(), context: context(step), case };
        case_call!(self, step, end_escalation, request)
    }

    pub(super) async fn close(&mut self, step: &Step, call: &call::Close) -> Result<Attempt, ConnectError> {
        let request = api::CloseCaseRequest {
            request_id: request_id(),
            context: context(step),
            case: self.case_name(&call.case, &step.who).await?,
            end_reason: call.end_reason.clone(),
        };
        case_call!(self, step, close_case, request)
    }

    pub(super) async fn resolve(&mut self, step: &Step, call: &call::Resolve) -> Result<Attempt, ConnectError> {
        let subject = Some(self.subject(&call.youth));
        let request = api::ResolvePseudonymRequest { context: context(step), subject };
        let answer = PseudonymsClient::new(self.channel(step).await?).resolve_pseudonym(request).await;
        let mut complaints = Vec::new();
        if let Ok(response) = &answer {
            let own = &response.get_ref().pseudonym;
            if !self.names.learn_pseudonym(&call.youth, &step.who, own) {
                complaints.push("the pseudonym is another one than before".to_owned());
            }
            for other in &call.differs_from {
                if self.names.pseudonym(&call.youth, other) == Some(own) {
                    complaints.push(format!("the pseudonym is the same as {other}'s"));
                }
            }
        }
        Ok(Attempt::of(answer, |_| Got { complaints, ..Got::default() }))
    }
}

fn regime(words: &call::RegimeWords) -> api::ConsentRegime {
    api::ConsentRegime {
        youth_alone: false,
        age_band: words.age.number(),
        capable: words.capable,
        authority: numbers(&words.authority),
        valid_until_month: None,
    }
}
