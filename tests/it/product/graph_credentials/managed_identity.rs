//! A managed identity: the metadata service of the machine is asked, and nothing is kept.

use super::*;
use crate::support::metadata_service::{IDENTITY, MetadataService};

const CREDENTIAL: &str = "managed_identity = true";
const VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

struct Machine {
    microsoft: Microsoft,
    metadata: MetadataService,
}

impl Machine {
    async fn start() -> Self {
        let microsoft = Microsoft::start(Vec::new()).await;
        let metadata = MetadataService::start(&microsoft.token().await, RESOURCE).await;
        Self { microsoft, metadata }
    }

    async fn broker(&self, client_id: &str) -> Product {
        let directory = tempfile::tempdir().unwrap();
        let variables = [(VARIABLE, self.metadata.origin())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.microsoft.broker(directory, client_id, CREDENTIAL, &variables).await
    }
}

#[tokio::test]
async fn the_machines_own_identity_and_an_assigned_one_execute() {
    let machine = Machine::start().await;
    executes(&machine.broker("").await).await;
    let product = machine.broker(IDENTITY).await;
    executes(&product).await;
    executes(&product).await; // from the cache
    assert_eq!(machine.metadata.asked(), [None, Some(IDENTITY.to_owned())]);
}

#[tokio::test]
async fn an_identity_that_the_machine_does_not_have_is_refused_and_asked_for_once_a_minute() {
    let machine = Machine::start().await;
    let product = machine.broker("11111111-2222-4333-8444-555555555555").await;
    for _ in 0..2 {
        let wrong = outcome("provider.auth_failed", "managed_identity_refused");
        assert_eq!(refused(&product).await, wrong);
    }
    assert_eq!(machine.metadata.asked().len(), 1);
    machine.microsoft.clock.advance(Duration::from_secs(61));
    refused(&product).await;
    assert_eq!(machine.metadata.asked().len(), 2);
}

#[tokio::test]
async fn a_throttling_metadata_service_is_left_alone_until_its_time() {
    let machine = Machine::start().await;
    let product = machine.broker("").await;
    machine.metadata.first(429, Some(7));
    for _ in 0..2 {
        let (code, _, metadata) = fails(&product).await;
        assert_eq!(code, "provider.rate_limited");
        assert_eq!(metadata["retry_after_ms"], 7000, "{metadata}");
    }
    assert_eq!(machine.metadata.asked().len(), 1);
    machine.microsoft.clock.advance(Duration::from_secs(7));
    executes(&product).await;
}

#[tokio::test]
async fn a_metadata_service_that_updates_itself_is_told_with_its_ten_seconds() {
    let machine = Machine::start().await;
    let product = machine.broker("").await;
    for status in [410, 404] {
        machine.metadata.first(status, None);
        let (code, _, metadata) = fails(&product).await;
        assert_eq!(code, "provider.unavailable", "{status}");
        assert_eq!(metadata["retry_after_ms"], 10_000, "{status}: {metadata}");
    }
    executes(&product).await;
}

#[tokio::test]
async fn one_fault_of_the_metadata_service_is_not_seen_by_the_caller() {
    let machine = Machine::start().await;
    machine.metadata.first(500, None);
    executes(&machine.broker("").await).await;
    assert_eq!(machine.metadata.asked().len(), 2);
}

#[tokio::test]
async fn without_a_metadata_service_the_caller_may_try_later() {
    let machine = Machine::start().await;
    let product = machine.broker("").await;
    drop(machine.metadata);
    let reply = product.graph_get(&product.token(&[]), ADA).await;
    assert_eq!(reply["error"]["code"], "provider.unavailable", "{reply}");
    assert_eq!(reply["error"]["retryable"], true, "{reply}");
    let ready = product.get("/ready").await;
    assert_eq!(ready.status, 200);
    assert!(ready.json()["degraded"].to_string().contains("contoso.example"), "{ready:?}");
}

/// A proxy would see the token, and could not reach the address anyway.
#[tokio::test]
async fn the_metadata_service_is_asked_past_the_proxy() {
    let machine = Machine::start().await;
    let settings = format!(
        r#"
        [outbound]
        proxy = "http://127.0.0.1:9"
        no_proxy = ["127.0.0.1"]
        allow_private = ["127.0.0.1"]
        [graph]
        cloud = "custom"
        custom_cloud = {{ login_url = "{0}", graph_url = "{0}", resource = "{RESOURCE}" }}
        "#,
        machine.microsoft.simulation.origin(),
    );
    let origin = machine.metadata.origin();
    let (directory, variables) = (tempfile::tempdir().unwrap(), [(VARIABLE, origin.as_str())]);
    let broker =
        machine.microsoft.broker_with(directory, &settings, "", CREDENTIAL, &variables).await;
    executes(&broker).await;
}
