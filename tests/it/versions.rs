//! Agents below the covenant's minimum: warned before its day, refused from then on; nobody else is concerned.

use std::sync::Arc;

use sluis::api::v1;
use sluis::clock::SystemClock;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::calls::{Client, event_of, reason};
use crate::log;
use crate::network::forward;
use crate::network::{GEMEENTE, LIMITS, Network, Place, id, now};

/// A day that the hub's clock is moved past.
const DAYS: i64 = 40;

/// A copy of the covenant, with a minimum that begins in so many days.
fn covenant(folder: &std::path::Path) -> String {
    let from = (now() + time::Duration::days(DAYS)).date();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("covenant/ret-overijssel");
    let copied = std::process::Command::new("cp").arg("-r").args([&source, folder]).status().unwrap();
    assert!(copied.success());
    let file = folder.join("ret-overijssel/parameters.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let own = "agent_min = \"0.1.0\"\n";
    assert!(text.contains(own));
    let minimum = format!("agent_min = \"3.2.1\"\nrefused_from = {from}\n");
    std::fs::write(&file, text.replace(own, &minimum)).unwrap();
    folder.join("ret-overijssel").display().to_string()
}

async fn list(client: &Client) -> Result<Option<String>, Status> {
    let request = v1::ListPartnersRequest::default();
    client.call::<_, v1::ListPartnersResponse>("Directory/ListPartners", &request).await?;
    Ok(client.outdated())
}

async fn versions(client: &Client) -> v1::SeenVersions {
    let request = v1::TestConnectionRequest::default();
    let told = client.call::<_, v1::TestConnectionResponse>("Connection/TestConnection", &request).await.unwrap();
    told.message.versions.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_agent_is_warned_and_from_the_day_on_refused() {
    let lines = log::capture();
    let folder = tempfile::tempdir().unwrap();
    let more = format!("covenant = {{ directory = \"{}\" }}", covenant(folder.path()));
    let network = Network::start_under(LIMITS, &more, Place::new, Arc::new(SystemClock)).await;
    let party = network.partner(GEMEENTE, v1::OrganisationKind::Gemeente).await;
    let called = async |itself| network.calling_itself(&party.holder, itself).await;
    let old = called("sluis-agent/0.1.0").await;
    let unreadable = called("sluis-agent/999990019").await;
    let others = [called("sluis-agent/3.2.1").await, called("grpc-python/1.60").await, party.client().clone()];

    for _ in 0..3 {
        let warned = list(&old).await.unwrap().unwrap();
        assert!(warned.starts_with("warned; agent 0.1.0 is below the covenant's minimum 3.2.1"), "{warned}");
    }
    assert!(list(&unreadable).await.unwrap().unwrap().contains("agent unreadable"));
    for other in &others {
        assert_eq!(list(other).await.unwrap(), None);
    }
    let said = String::from_utf8_lossy(&lines.lock().unwrap()).matches("a partner's agent is too old").count();
    assert_eq!(said, 1, "once a day for a partner, whichever of its agents it is");

    forward(&network, (DAYS + 1) * 24 * 3600).await;

    let database = network.database().await;
    for (client, version) in [(&old, "0.1.0"), (&unreadable, "unreadable")] {
        let refused = list(client).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_deref()), (Code::FailedPrecondition, Some("VERSION_OUTDATED")));
        let metadata = refused.get_details_error_info().unwrap().metadata;
        assert_eq!((metadata["agent"].as_str(), metadata["minimum"].as_str()), (version, "3.2.1"));
        assert!(metadata["refused_from"].starts_with("20") && metadata["source"].contains("netwerkbureau"));
        for part in [version, "3.2.1", &metadata["refused_from"], &metadata["source"]] {
            assert!(refused.message().contains(part), "{part}: {}", refused.message());
        }
        let header = refused.metadata().get("sluis-outdated").unwrap().to_str().unwrap();
        assert!(header.starts_with("refused; "), "{header}");
        let (outcome, reason, oin) = database.event(&event_of(&refused).unwrap()).await;
        assert_eq!((outcome.as_str(), reason.as_str(), oin.as_str()), ("refused", "VERSION_OUTDATED", GEMEENTE));
    }
    for other in &others {
        assert_eq!(list(other).await.unwrap(), None);
    }
    // What explains it goes on, and what gives less to fewer is not held up by software.
    let seen = versions(&old).await;
    assert_eq!((seen.agent.as_str(), seen.agent_minimum.as_str()), ("0.1.0", "3.2.1"));
    assert!(seen.refused_from.is_some());
    let withdraw = v1::WithdrawConsentRequest { request_id: id(), context: None, name: String::new() };
    let asked = old.call::<_, v1::Consent>("Consents/WithdrawConsent", &withdraw).await.unwrap_err();
    assert_eq!(asked.code(), Code::InvalidArgument, "looked at: {asked:?}");
    // A stranger hears what every stranger hears.
    let stranger = network.certificate(GEMEENTE).await;
    let stranger = network.calling_itself(&stranger, "sluis-agent/0.1.0").await;
    let refused = list(&stranger).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_deref()), (Code::Unauthenticated, Some("REFUSED")));
    let planted = String::from_utf8_lossy(&lines.lock().unwrap()).contains("sluis-agent/999990019");
    assert!(!planted, "what a client calls itself is not repeated");
}
