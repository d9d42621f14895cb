//! The inbox of the partner, passed on item by item. A stream that breaks with its node goes on at another one, after the
//! last item that came; one whose certificate has a successor goes on under that, and its reader notices nothing.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Agent;
use super::forward::{copy, leash, onward};
use super::links::HUB;
use super::nodes::{Again, Node, is_gone};
use super::receipts::Listening;
use super::refusal::{passed_on, upstream};
use super::services::{Messages, held};
use crate::api::v1;
use crate::api::v1::inbox_client::InboxClient;

const METHOD: &str = "sluis.v1.Inbox/StreamInbox";

impl Agent {
    /// `Inbox.StreamInbox`.
    pub(super) async fn follow_inbox(
        &self,
        request: Request<v1::StreamInboxRequest>,
    ) -> Result<Response<Messages<v1::InboxItem>>, Status> {
        self.inspect(METHOD, request.get_ref()).await?;
        let leash = leash(&request);
        let request = onward(request);
        let renewed = self.links.renewed();
        let answer = self.open_inbox(&request).await.map_err(|status| upstream(&status, HUB))?;
        // One item ahead of its reader: whoever reads slowly holds up the hub, not the agent's memory.
        let (sender, receiver) = mpsc::channel(1);
        let agent = self.clone();
        Ok(passed_on(answer.map(|items| {
            tokio::spawn(async move { agent.pass_items(request, items, renewed, &sender).await });
            held(ReceiverStream::new(receiver), leash)
        })))
    }

    /// The hub sends again what comes after the cursor: opening a stream twice changes nothing.
    async fn open_inbox(
        &self,
        request: &Request<v1::StreamInboxRequest>,
    ) -> Result<Response<Streaming<v1::InboxItem>>, Status> {
        let open = |node: Node| {
            let request = copy(request);
            async move { InboxClient::new(node.channel).stream_inbox(request).await }
        };
        self.at_hub(METHOD, Again::Yes, open).await
    }

    async fn pass_items(
        &self,
        mut request: Request<v1::StreamInboxRequest>,
        mut items: Streaming<v1::InboxItem>,
        mut renewed: watch::Receiver<()>,
        sender: &mpsc::Sender<Result<v1::InboxItem, Status>>,
    ) {
        // Streams in a row that brought nothing: as many as there are nodes, then the reader hears of it.
        let mut empty = 0;
        let listening = Listening::begin(self);
        // The connection shows a certificate that ends sooner than the agent's.
        let mut is_old = false;
        loop {
            let item = tokio::select! {
                item = items.message() => item,
                () = sender.closed() => return,
                Ok(()) = renewed.changed() => {
                    // What the old stream still had comes again on the new one. If there is none now, the old one does until it ends.
                    let answer = self.open_inbox(&request).await;
                    is_old = answer.is_err();
                    items = answer.map_or(items, Response::into_inner);
                    continue;
                }
            };
            let status = match item {
                Ok(Some(item)) => {
                    empty = 0;
                    listening.told(&item);
                    request.get_mut().cursor.clone_from(&item.cursor);
                    if sender.send(Ok(item)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(None) => return,
                Err(status) if (is_gone(&status) || is_old) && empty < self.links.hub.count() => {
                    empty += 1;
                    match self.open_inbox(&request).await {
                        Ok(answer) => {
                            is_old = false;
                            items = answer.into_inner();
                            continue;
                        }
                        Err(status) => status,
                    }
                }
                Err(status) => {
                    self.stream_ended(METHOD, &status);
                    status
                }
            };
            // There is nothing to do for a reader that is gone.
            drop(sender.send(Err(upstream(&status, HUB))).await);
            return;
        }
    }
}
