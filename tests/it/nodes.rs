//! Several nodes of the hub over one PostgreSQL, as processes.

use sluis::clock::SystemClock;
use sluis::demo::{self, Demo, DemoOptions, StoreKind};
use sluis::scenario;

fn two_nodes() -> DemoOptions {
    DemoOptions {
        nodes: 2,
        store: StoreKind::Postgres,
        program: Some(env!("CARGO_BIN_EXE_sluis").into()),
        ..DemoOptions::default()
    }
}

/// Guarantees G8 and G12: what one node acknowledged, the other knows, and it decides the same.
#[tokio::test]
async fn a_scenario_goes_on_when_one_of_two_nodes_is_killed() {
    let scenario = demo::built_in_scenario().unwrap();
    let mut report = Vec::new();
    let verdict = demo::run(&scenario, two_nodes(), std::future::pending(), &mut report).await;
    let report = String::from_utf8(report).unwrap();
    let verdict = verdict.unwrap_or_else(|error| panic!("{report}{}", sluis::telemetry::Chain(&error)));
    assert!(verdict.steps > 50 && verdict.wrong == 0, "{report}");
    assert!(report.contains("node 2 of 2 of the hub was killed"), "{report}");
    // Every second agent began at that node.
    assert!(report.contains("3 of 6 agents went over"), "{report}");
}

#[tokio::test]
async fn either_node_will_do_and_one_that_was_killed_comes_back() {
    let scenario = demo::built_in_scenario().unwrap();
    let mut demo = Demo::new(two_nodes()).unwrap();
    demo.start(&scenario, &mut Vec::new()).await.unwrap();
    demo.kill_node(0).await.unwrap();
    let network = demo.network().unwrap().clone();
    let mut report = Vec::new();
    let verdict = scenario::play(&scenario, &network, &SystemClock, &mut report).await.unwrap();
    assert_eq!(verdict.wrong, 0, "{}", String::from_utf8_lossy(&report));
    demo.start_node(0).await.unwrap();
    demo.stop().await;
}

#[test]
fn several_nodes_need_a_database_that_they_can_share() {
    let refused = Demo::new(DemoOptions { store: StoreKind::Sqlite, ..two_nodes() }).err().unwrap();
    assert!(refused.to_string().contains("--store postgres"), "{refused}");
}
