//! What a node does in the moment in which a key begins or a mandate ends: what it says, to whom, and how soon.

use std::error::Error as _;
use std::time::Instant;

use sluis::api::v1::event_proof::State;

use crate::calls::{Client, event_of};
use crate::network::is_postgres;
use crate::raw::Raw;
use crate::tree::{prove, until};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Another node registered the key, and its word has not come yet: the first thing that this node says of it names both too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_node_registered_is_refused_in_its_customers_name() {
    let network = Network::start().await;
    let (_, supplier, _) = customer(&network).await;
    let database = network.database().await;
    let known = &supplier.holder.key_hash;
    let (from, to) = (known.clone(), "f".repeat(64));
    let rename = |from: &str, to: &str| {
        database.any(format!(
            "UPDATE certificate SET key_hash = '{to}' WHERE key_hash = '{from}'; UPDATE registry_head SET rev = rev + 1"
        ))
    };
    rename(&from, &to).await;
    until(async || partners(&supplier).await.is_err().then_some(())).await;
    rename(&to, &from).await;
    let request = v1::GetCaseRequest::default();
    let status = supplier.client().call::<_, v1::Case>("Cases/GetCase", &request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let event = event_of(&status).unwrap();
    let of_both = format!(
        "SELECT COUNT(*) FROM audit_event WHERE event_id = '{}' AND req_oin = '{CUSTOMER}' AND via = '{SUPPLIER}'",
        event.trim_start_matches("events/")
    );
    assert_eq!(database.any_number(of_both).await, 1);
}

/// The refusal stands in the log before it is said. While the log is slow, the connection waits for it, within the second of
/// guarantee G7: the calls of a supplier are counted elsewhere than those of its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplier_hears_why_its_stream_ends_though_the_log_is_slow() {
    let network = Network::start().await;
    let (own, supplier, known) = customer(&network).await;
    let ends = known.end_time.unwrap();
    let machine = now();
    let by = ends.seconds - machine.unix_timestamp() - 3;
    let ends = time::OffsetDateTime::from_unix_timestamp(ends.seconds).unwrap()
        + time::Duration::nanoseconds(ends.nanos.into())
        - time::Duration::seconds(by);
    forward(&network, by).await;
    let live = Live::open(&supplier, "").await;
    let database = network.database().await;
    let wait = async |moment: time::OffsetDateTime| {
        tokio::time::sleep((moment - now()).try_into().expect("time is left")).await;
    };
    wait(ends - time::Duration::milliseconds(150)).await;
    database
        .run(if is_postgres() { "BEGIN; LOCK TABLE audit_event IN EXCLUSIVE MODE" } else { "BEGIN IMMEDIATE" })
        .await;
    wait(ends + time::Duration::milliseconds(450)).await;
    database.run("ROLLBACK").await;
    let (status, _) = live.end().await;
    assert_eq!((status.code(), status.source().is_none()), (Code::Unauthenticated, true), "{status:?}");
    partners(&own).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_suppliers_certificate_ends_is_said_with_its_name() {
    let network = Network::start().await;
    // Ten days: the hub has something to say at once.
    let (_, supplier, _) = customer(&network).await;
    let database = network.database().await;
    let said = async |key: &str, via: &str| {
        let count = "SELECT COUNT(*) FROM audit_event WHERE method LIKE '%/ListCertificates' AND req_oin = ''";
        database
            .any_number(format!("{count} AND src_oin = '{CUSTOMER}' AND key_hash = '{key}' AND via = '{via}'"))
            .await
    };
    let key = &supplier.holder.key_hash;
    until(async || (said(key, SUPPLIER).await + said(key, "").await > 0).then_some(())).await;
    assert_eq!((said(key, SUPPLIER).await, said(key, "").await), (1, 0));
    // The customer's own names none.
    let short = network.certificate_for(CUSTOMER, 25).await;
    network.register_certificate(&short, v1::HolderKind::Organisation, "").await;
    until(async || (said(&short.key_hash, "").await == 1).then_some(())).await;
}

/// Guarantee G7 on every node, for whoever calls and for whoever says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_mandate_cuts_on_both_nodes_within_a_second() {
    if !is_postgres() {
        eprintln!("skipped: two nodes need PostgreSQL");
        return;
    }
    let network = Network::start().await;
    let node = network.second_node().await;
    let (own, supplier, known) = customer(&network).await;
    let (own_away, away) = (node.client(&own.holder).await, node.client(&supplier.holder).await);
    let (here, there) = (Live::open(&supplier, "").await, Live::over(&away, "").await);
    let (own_here, own_there) = (Live::open(&own, "").await, Live::over(&own_away, "").await);
    let silent_here = Raw::connect(&network, &supplier.holder, 65_535).await;
    let silent_there = Raw::connect_to(&node.address, &network, &supplier.holder).await;
    end(&network, &known.name).await.unwrap();
    let ended = Instant::now();
    let silent = async |raw: Raw| {
        tokio::time::timeout(5 * SECOND, raw.until_cut()).await.expect("it is cut");
        ended.elapsed()
    };
    let (here, there, silent_here, silent_there) =
        tokio::join!(here.end(), there.end(), silent(silent_here), silent(silent_there));
    for (status, took) in [here, there] {
        assert_eq!((status.code(), status.source().is_none()), (Code::Unauthenticated, true), "{status:?}");
        assert!(took < SECOND, "{took:?}");
    }
    assert!(silent_here < SECOND && silent_there < SECOND, "{silent_here:?} {silent_there:?}");
    // Nobody gets in again on either, and the customer itself noticed nothing.
    network.until_cut().await;
    for client in [supplier.client(), &away] {
        let status =
            client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &FASE_LIST).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    for mut live in [own_here, own_there] {
        assert_eq!(live.maybe().await, None);
    }
    node.stop().await;
    network.holds_together().await;
}

/// Called before its key was registered: the answer was a refusal, and of that too the hub proves that it is in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplier_that_calls_too_early_gets_the_proof_of_its_refusal_later() {
    let network = Network::start().await;
    let own = network.registered(CUSTOMER, Gemeente).await;
    network.sign(&own).await;
    register(&network, &mandate(&own.holder, SUPPLIER, 10)).await.unwrap();
    let holder = network.certificate(SUPPLIER).await;
    let asked = v1::ListPartnersRequest::default();
    let refused =
        holder.client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &asked).await.unwrap_err();
    let event = event_of(&refused).unwrap();
    register_key(&network, &holder, CUSTOMER, "").await.unwrap();
    let state = async |client: &Client| prove(client, vec![event.clone()]).await.proofs.remove(0).state();
    assert_ne!(state(&holder.client).await, State::Unknown);
    assert_eq!(state(own.client()).await, State::Unknown, "another key of the same customer");
}
