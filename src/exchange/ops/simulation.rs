//! Moving the clock of a demo network.

use time::Duration;

use super::super::{Decided, Exchange, Facts, Operation};
use crate::api::v1;
use crate::audit::Draft;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::method::Admitted;
use crate::store::{Tx, WorkError};
use crate::wire::timestamp;

/// `Simulation.AdvanceClock`.
pub struct AdvanceClock {
    request_id: String,
    by: By,
}

enum By {
    Duration(Duration),
    WorkingDays(u16),
}

impl Operation for AdvanceClock {
    type Message = v1::AdvanceClockRequest;
    type Reply = v1::AdvanceClockResponse;
    type Rows = ();
    type Plan = Duration;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        use v1::advance_clock_request::By as Wire;
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let by = match message.by {
            Some(Wire::Duration(by)) if (1..=31_536_000).contains(&by.seconds) => {
                Some(By::Duration(Duration::seconds(by.seconds)))
            }
            Some(Wire::WorkingDays(days)) if (1..=250).contains(&days) => u16::try_from(days).ok().map(By::WorkingDays),
            _ => None,
        };
        if by.is_none() {
            fields.wrong("by", "1 second to 365 days, or 1-250 working days");
        }
        fields.done((|| Some(Self { request_id: request_id?, by: by? }))())
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn decide(
        &self,
        hub: &Exchange,
        facts: &Facts,
        (): &(),
        admitted: Admitted,
    ) -> Result<(Ground, Duration), Refusal> {
        let by = match self.by {
            By::Duration(by) => by,
            By::WorkingDays(days) => {
                let day = hub.terms().calendar.add_working_days(facts.now.date(), days);
                let day = day.map_err(|_| Refusal::malformed("by", "days in years whose holidays are known"))?;
                facts.now.replace_date(day) - facts.now
            }
        };
        Ok((admitted.office(), by))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::AdvanceClockResponse, WorkError> {
        let clock = hub.settings.shifted.as_ref();
        let clock = clock.ok_or_else(|| WorkError::Refused(Refusal::precondition("this network's clock is real")))?;
        let now = clock.forward(done.plan);
        Ok(v1::AdvanceClockResponse { now: Some(timestamp(now)) })
    }
}
