//! PostgreSQL stops and starts again under load, as an operator or an update has it do.

use std::sync::Arc;

use sluis::clock::SystemClock;
use sluis::demo::postgres::{Cluster, Stop};
use tokio::task::block_in_place;

use crate::direct::Players;
use crate::health::{until_not_ready, until_ready};
use crate::load::Load;
use crate::network::{LIMITS, Network, Place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_restarted_loses_nothing_and_the_hub_goes_on_by_itself() {
    let mut cluster = block_in_place(Cluster::start).unwrap();
    let network = Network::start_at(LIMITS, |_| Place::on(&cluster), Arc::new(SystemClock)).await;
    let gemeente = Players::join(&network).await.gemeente;
    let client = &network.operator.client;
    until_ready(client).await;
    let load = Load::start(&network, gemeente.client()).await;
    for (how, is_away_for_long) in [(Stop::Fast, false), (Stop::Immediate, true)] {
        load.until_done(10).await;
        block_in_place(|| cluster.stop(how)).unwrap();
        if is_away_for_long {
            load.until_refused(4).await;
            until_not_ready(client).await;
        }
        block_in_place(|| cluster.restart()).unwrap();
        load.until_done(10).await;
        until_ready(client).await;
    }
    load.judge(&network).await;
}
