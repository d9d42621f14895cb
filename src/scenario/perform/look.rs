//! Looking: at an inbox, at the log, and at the clock.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::transport::Channel;

use super::super::call;
use super::super::connect::Door;
use super::super::file::Step;
use super::super::outcome::{Attempt, Got};
use super::super::word::word_of;
use super::{ConnectError, Stage, context, request_id};
use crate::api::v1 as api;
use crate::api::v1::audit_client::AuditClient;
use crate::api::v1::inbox_client::InboxClient;
use crate::api::v1::simulation_client::SimulationClient;
use crate::reason::Reason;

/// How often and how long to look for an item that is on its way.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: usize = 50;

/// What was seen of an inbox.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    cursor: String,
    items: Vec<String>,
}

impl Stage {
    /// Reads every inbox once, so that what lies there from before is not taken for news.
    pub(crate) async fn skip_old_items(&mut self, partners: &[String]) -> Result<(), ConnectError> {
        for partner in partners {
            if let Err(attempt) = self.drain(partner, true).await? {
                tracing::debug!(code = ?attempt.result.err().map(|refusal| refusal.code), "an inbox can't be read");
            }
            self.inboxes.entry(partner.clone()).or_default().items.clear();
        }
        Ok(())
    }

    pub(super) async fn inbox(&mut self, step: &Step, call: &call::Inbox) -> Result<Attempt, ConnectError> {
        let mut looks = LOOKS;
        loop {
            if let Err(refused) = self.drain(&step.who, false).await? {
                return Ok(refused);
            }
            let items = &self.inboxes.entry(step.who.clone()).or_default().items;
            let missing = missing(&call.arrived, items);
            looks = looks.saturating_sub(1);
            if missing.is_empty() || looks == 0 {
                let mut complaints: Vec<_> = missing.iter().map(|item| format!("`{item}` has not arrived")).collect();
                let unwanted = call.absent.iter().filter(|item| items.contains(item));
                complaints.extend(unwanted.map(|item| format!("`{item}` has arrived")));
                self.inboxes.entry(step.who.clone()).or_default().items.clear();
                return Ok(Attempt::quiet(Got { article: None, complaints }));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads the inbox until `who` has a name for the case.
    pub(super) async fn await_name(&mut self, label: &str, who: &str) -> Result<(), ConnectError> {
        for _ in 0..LOOKS {
            let read = self.drain(who, false).await?;
            if self.names.case(label, who).is_some() || read.is_err() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Reads what is new in an inbox.
    async fn drain(&mut self, who: &str, old: bool) -> Result<Result<(), Attempt>, ConnectError> {
        let channel = self.connections.channel(&Door::Organisation(who.to_owned())).await?;
        let seen = self.inboxes.entry(who.to_owned()).or_default();
        let user_ref = "ketentest".to_owned();
        let request = api::StreamInboxRequest {
            context: Some(api::RequestContext { user_ref, ..Default::default() }),
            cursor: seen.cursor.clone(),
            drain: true,
        };
        let mut stream = match InboxClient::new(channel).stream_inbox(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(Attempt::refused(&status))),
        };
        while let Some(item) = stream.next().await {
            match item {
                Ok(item) => {
                    seen.cursor.clone_from(&item.cursor);
                    seen.items.extend(describe(&item));
                    self.names.learn_from(who, &item, old);
                }
                Err(status) => return Ok(Err(Attempt::refused(&status))),
            }
        }
        Ok(Ok(()))
    }

    pub(super) async fn query(&mut self, step: &Step, call: &call::Query) -> Result<Attempt, ConnectError> {
        let request = api::QueryEventsRequest {
            context: context(step),
            case: self.optional_case(call.case.as_ref(), &step.who).await?,
            outcome: call.outcome.map_or(0, |outcome| outcome.number()),
            reason: call.reason_code.clone().unwrap_or_default(),
            organisation: if call.case.is_none() { self.names.partner(&step.who) } else { String::new() },
            ..Default::default()
        };
        let channel = self.connections.channel(&Door::Officer(step.who.clone())).await?;
        let answer = AuditClient::new(channel).query_events(request).await;
        Ok(Attempt::of(answer, |reply| {
            let few = reply.events.len() < call.at_least;
            let complaints = few.then(|| format!("{} events", reply.events.len())).into_iter().collect();
            Got { article: None, complaints }
        }))
    }

    pub(super) async fn wait(&mut self, call: &call::Wait) -> Result<Attempt, ConnectError> {
        use api::advance_clock_request::By;
        let seconds = |hours| prost_types::Duration { seconds: i64::from(hours) * 3600, nanos: 0 };
        let by = call.working_days.map(By::WorkingDays).or(call.hours.map(|hours| By::Duration(seconds(hours))));
        let mut attempt = Attempt::quiet(Got::default());
        // Every node has a clock of its own.
        for channel in self.connections.channels(&Door::Operator).await? {
            let request = api::AdvanceClockRequest { request_id: request_id(), by };
            let answer = SimulationClient::new(channel).advance_clock(request).await;
            if let Ok(response) = &answer {
                self.network_time = response.get_ref().now;
            }
            attempt = Attempt::of(answer, |_| Got::default());
            if attempt.result.is_err() {
                break;
            }
        }
        Ok(attempt)
    }
}

/// The events of a case, oldest first, as the privacy officer of `who` sees them.
pub(crate) async fn events_of_case(
    stage: &mut Stage,
    who: &str,
    case: &str,
) -> Result<Result<Vec<api::Event>, tonic::Status>, ConnectError> {
    let channel = stage.connections.channel(&Door::Officer(who.to_owned())).await?;
    let mut client = AuditClient::new(channel);
    let case = stage.names.case_or_stranger(case, who);
    let mut request =
        api::QueryEventsRequest { context: officer("fg.overzicht"), case, page_size: 1000, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let page = match client.query_events(request.clone()).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            events.reverse();
            return Ok(Ok(events));
        }
        request.page_token = page.next_page_token;
    }
}

/// The reason that the log holds for an event.
pub(crate) async fn logged_reason(channel: Channel, event: &str) -> Option<Reason> {
    let request =
        api::QueryEventsRequest { context: officer("fg.netwerk"), event: event.to_owned(), ..Default::default() };
    let reply = AuditClient::new(channel).query_events(request).await.ok()?.into_inner();
    reply.events.first()?.reason.parse().ok()
}

fn officer(user_ref: &str) -> Option<api::RequestContext> {
    Some(api::RequestContext {
        article: "36".to_owned(),
        purpose: "verantwoording".to_owned(),
        acting_role: api::Role::R14.into(),
        user_ref: user_ref.to_owned(),
        reason: String::new(),
    })
}

/// An item in the words of a scenario file; a question for several categories is several words.
fn describe(item: &api::InboxItem) -> Vec<String> {
    use api::case_changed::Kind;
    use api::inbox_item::Item;
    let category = |name: &str| word_of(name, "CATEGORY_");
    match &item.item {
        Some(Item::Record(record)) => vec![format!("record {}", category(record.category().as_str_name()))],
        Some(Item::Requested(asked)) => {
            asked.categories().map(|one| format!("request {}", category(one.as_str_name()))).collect()
        }
        Some(Item::Changed(changed)) => {
            let role = word_of(changed.role().as_str_name(), "ROLE_");
            vec![match changed.kind() {
                Kind::RoleAssigned => format!("role {role}"),
                Kind::RoleEnded => format!("role-ended {role}"),
                Kind::Phase => format!("phase {}", word_of(changed.phase().as_str_name(), "PHASE_")),
                other => word_of(other.as_str_name(), "KIND_").to_ascii_lowercase().replace('_', "-"),
            }]
        }
        None => Vec::new(),
    }
}

/// What of `wanted` is not among `items`; an item counts once.
fn missing(wanted: &[String], items: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = items.iter().collect();
    let mut missing = Vec::new();
    for item in wanted {
        match left.iter().position(|one| *one == item) {
            Some(index) => {
                left.swap_remove(index);
            }
            None => missing.push(item.clone()),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_counts_once() {
        let items = ["record C06".to_owned(), "role R05".to_owned()];
        assert!(missing(&["record C06".into()], &items).is_empty());
        assert_eq!(missing(&["record C06".into(), "record C06".into()], &items), ["record C06"]);
    }

    #[test]
    fn items_are_described_in_the_words_of_the_file() {
        use api::case_changed::Kind;
        use api::inbox_item::Item;
        let record = api::Record { category: api::Category::C06.into(), ..Default::default() };
        let asked = api::RecordsRequested {
            categories: vec![api::Category::C09.into(), api::Category::C08.into()],
            ..Default::default()
        };
        let role =
            api::CaseChanged { kind: Kind::RoleAssigned.into(), role: api::Role::R05.into(), ..Default::default() };
        let withdrawn = api::CaseChanged { kind: Kind::ConsentWithdrawn.into(), ..Default::default() };
        for (item, wanted) in [
            (Item::Record(record), vec!["record C06"]),
            (Item::Requested(asked), vec!["request C09", "request C08"]),
            (Item::Changed(role), vec!["role R05"]),
            (Item::Changed(withdrawn), vec!["consent-withdrawn"]),
        ] {
            assert_eq!(describe(&api::InboxItem { item: Some(item), ..Default::default() }), wanted);
        }
    }
}
