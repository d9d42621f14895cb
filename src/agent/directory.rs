//! The partner directory, looked at now and then: whoever leaves one day was seen while its certificate was good, also by an agent
//! that has had nothing from it yet. What it wrote can be opened ever after by what was seen.

use std::time::Duration;

use rand_core::{OsRng, RngCore as _};
use tonic::Status;

use super::Agent;
use super::nodes::Again;
use super::partners::PartnerKeysError;
use super::renewal::{jittered, told};
use super::words;
use crate::api::v1;
use crate::api::v1::directory_client::DirectoryClient;
use crate::redact::log;

/// The question.
const LIST: &str = "sluis.v1.Directory/ListPartners";
/// Seconds between two looks.
const LOOK: u32 = 6 * 3600;
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(10);
/// After so many tries that it is so long.
const LONGEST: Duration = Duration::from_secs(3600);
/// Partners in one answer: all that the API gives.
pub(super) const AT_ONCE: i32 = 100;

impl Agent {
    /// Looks for ever.
    pub(super) async fn meet_partners(self) {
        loop {
            let mut again = AGAIN;
            while let Err(status) = self.look_at_partners().await {
                tracing::debug!(status = %told(&status), "the partner directory can't be looked at now");
                tokio::time::sleep(again).await;
                // Every refusal is an event.
                again = LONGEST.min(again.saturating_mul(2));
            }
            tokio::time::sleep(jittered(LOOK, OsRng.next_u32())).await;
        }
    }

    async fn look_at_partners(&self) -> Result<(), Status> {
        let mut page_token = String::new();
        loop {
            let request = v1::ListPartnersRequest { page_size: AT_ONCE, page_token };
            let answer = self.at_hub(LIST, Again::Yes, |node| {
                let request = request.clone();
                async move { DirectoryClient::new(node.channel).list_partners(request).await }
            });
            let page = answer.await?.into_inner();
            page.partners.iter().for_each(|partner| self.meet(partner));
            // A hub that gives the same page for ever is asked no more.
            if page.next_page_token.is_empty() || page.next_page_token == request.page_token {
                return Ok(());
            }
            page_token = page.next_page_token;
        }
    }

    /// Remembers the partner's keys, as long as somebody vouches for them.
    fn meet(&self, partner: &v1::Partner) {
        let Some(oin) = words::partner(&partner.name).filter(|oin| oin != self.own.oin()) else { return };
        let Some(keys) = &partner.keys else { return };
        match self.partners.verify(Some(keys), &oin, self.clock.now()) {
            Ok(_) => {}
            // Many have left.
            Err(PartnerKeysError::Certificate(why)) => {
                tracing::debug!(partner = log(&oin), %why, "nobody vouches for a partner's keys");
            }
            Err(why) => tracing::warn!(partner = log(&oin), %why, "a partner's keys in the directory are not believed"),
        }
    }
}
