//! Connections that do nothing but exist, to see what memory each takes.

use sluis::api::v1;
use sluis::api::v1::cases_client::CasesClient;
use sluis::api::v1::inbox_client::InboxClient;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::Failed;
use crate::calls::Requests;
use crate::world::World;

/// A connection, perhaps with a stream.
pub(crate) struct Held {
    _channel: Channel,
    _stream: Option<Streaming<v1::InboxItem>>,
}

/// Opens connections of all experts in turn. Each has been used: a server knows a connection only then.
pub(crate) async fn open(
    world: &World,
    server: &str,
    count: usize,
    calls: usize,
    streams: bool,
) -> Result<Vec<Held>, Failed> {
    let requests = Requests::new(world)?;
    let mut cursors = Vec::new();
    if streams {
        for who in &world.experts {
            cursors.push(end_of_inbox(world, server, who).await?);
        }
    }
    let mut held = Vec::with_capacity(count);
    for nth in 0..count {
        let place = nth % world.experts.len().max(1);
        let who = world.experts.get(place).ok_or("no expert")?;
        let channel = world.tls(who)?.connect(world.address(server, 0)?).await?;
        // Refused by a hub: an expert is no casusregisseur. The connection has been used all the same.
        for _ in 0..calls {
            drop(CasesClient::new(channel.clone()).get_case(requests.get_case(nth)).await);
        }
        let stream = match cursors.get(place) {
            Some(cursor) => Some(wait(&channel, requests.wait(cursor.clone())).await?),
            None => None,
        };
        held.push(Held { _channel: channel, _stream: stream });
    }
    Ok(held)
}

async fn wait(channel: &Channel, request: v1::StreamInboxRequest) -> Result<Streaming<v1::InboxItem>, Failed> {
    Ok(InboxClient::new(channel.clone()).stream_inbox(request).await?.into_inner())
}

/// Where nothing more comes.
async fn end_of_inbox(world: &World, server: &str, who: &str) -> Result<String, Failed> {
    let channel = world.tls(who)?.connect(world.address(server, 0)?).await?;
    let mut items = wait(&channel, Requests::new(world)?.inbox()).await?;
    let mut cursor = String::new();
    while let Some(item) = items.message().await? {
        cursor = item.cursor;
    }
    Ok(cursor)
}
