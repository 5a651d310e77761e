use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditSettings, Auditor, Context, FileSettings, OnFailure, SinkSettings};
use crate::fake_http::{Act, FakeHttp};
use crate::id::{ApprovalId, RequestId, TraceId};
use crate::outbound::{Outbound, OutboundSettings};
use crate::random::SeededRandom;
use crate::store::{ApprovalRow, ApprovalState, Digest, Requester};
use crate::time::{FixedClock, Timestamp};

use super::courier::{Courier, MOST_WAITING, Notices};
use super::webhook::Webhook;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A question with an argument that must not be told.
fn row(clock: &FixedClock) -> ApprovalRow {
    let now = Timestamp::from_unix_seconds(1_000);
    ApprovalRow {
        id: ApprovalId::generate(clock, &SeededRandom::new(5)),
        call: Digest::of("call"),
        requester: Requester {
            issuer: "https://broker.example".parse().unwrap(),
            subject: "ada".parse().unwrap(),
            client_id: "agent".parse().ok(),
            asserted: None,
        },
        tool: "graph".parse().unwrap(),
        sealed_arguments: "CANARY-4711".to_owned(),
        rule: "graph.delete".parse().unwrap(),
        policy_version: "7".to_owned(),
        approvers: vec!["it-leads".to_owned()],
        self_approval: false,
        state: ApprovalState::Pending,
        created_at: now,
        expires_at: now.plus(Duration::from_mins(4)),
        answer: None,
    }
}

fn context(clock: &FixedClock) -> Context {
    let random = SeededRandom::new(3);
    Context {
        request_id: RequestId::generate(clock, &random),
        trace_id: TraceId::generate(&random),
        requester_id: None,
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    }
}

/// A courier to this receiver, which records in this folder.
fn courier(receiver: &FakeHttp, log: &Path, clock: &Arc<FixedClock>) -> (Notices, Courier) {
    let file = FileSettings { durable: true, ..FileSettings::at(log.join("a.jsonl")) };
    let settings = AuditSettings {
        queue_length: 64,
        on_failure: OnFailure::Deny,
        limit: Duration::from_secs(5),
        sinks: vec![SinkSettings::File(file)],
        service: "test".into(),
        environment: "dev",
    };
    let auditor =
        Auditor::open(settings, Arc::clone(clock) as _, Arc::new(SeededRandom::new(1))).unwrap();
    let reach = OutboundSettings {
        allow_private: vec!["127.0.0.1".parse().unwrap()],
        ..OutboundSettings::default()
    };
    let outbound = Outbound::new(&reach).unwrap();
    let webhook = Webhook::new(receiver.origin.clone(), &SECRET.to_owned().into()).unwrap();
    let around = (Arc::clone(clock) as _, Arc::new(SeededRandom::new(4)) as _);
    Courier::new(webhook, outbound, auditor, around)
}

/// The first event in the log, once there is one.
async fn first_event(log: &Path) -> Value {
    let recorded = async {
        loop {
            let text = std::fs::read_to_string(log.join("a.jsonl")).unwrap_or_default();
            if let Some(line) = text.lines().next() {
                break serde_json::from_str(line).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recorded).await.unwrap()
}

const PAGE: &str = "https://broker.example/approvals/x";

/// What the receiver got and what the log says, once one question was told to `acts`.
async fn told(acts: Vec<Act>) -> (Vec<String>, Value) {
    let receiver = FakeHttp::start(acts).await;
    let log = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_001)));
    let (notices, courier) = courier(&receiver, log.path(), &clock);
    let courier = courier.waiting_first(Duration::from_millis(1));
    notices.tell(&context(&clock), &row(&clock), PAGE.to_owned()).await;
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(courier.run(stop.clone()));
    let recorded = first_event(log.path()).await;
    stop.cancel();
    while running.join_next().await.is_some() {}
    (receiver.requests(), recorded)
}

/// What is not told is on record as that, whatever the reason is.
#[tokio::test]
async fn what_waits_or_is_under_way_at_a_stop_is_recorded_as_not_delivered() {
    let receiver = FakeHttp::start(vec![Act::Answer(500, "", String::new())]).await;
    let log = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_001)));
    let (notices, courier) = courier(&receiver, log.path(), &clock);
    let courier = courier.waiting_first(Duration::from_mins(1));
    notices.tell(&context(&clock), &row(&clock), PAGE.to_owned()).await;
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(courier.run(stop.clone()));
    let asked = async {
        while receiver.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
    stop.cancel();
    while running.join_next().await.is_some() {}
    let recorded = first_event(log.path()).await;
    assert_eq!(recorded["event_type"], "approval.notified");
    assert_eq!(recorded["payload"]["delivered"], false, "{recorded}");
}

#[tokio::test]
async fn what_finds_the_queue_full_is_recorded_as_not_delivered() {
    let receiver = FakeHttp::start(Vec::new()).await;
    let log = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_001)));
    // It does not run, so that nothing is taken out.
    let (notices, _courier) = courier(&receiver, log.path(), &clock);
    for _ in 0..=MOST_WAITING {
        notices.tell(&context(&clock), &row(&clock), PAGE.to_owned()).await;
    }
    let recorded = first_event(log.path()).await;
    let payload = &recorded["payload"];
    assert_eq!((&payload["delivered"], &payload["attempts"]), (&false.into(), &0.into()));
}

fn accepted() -> Act {
    Act::Answer(204, "", String::new())
}

#[tokio::test]
async fn a_question_is_told_once_signed_and_without_its_arguments() {
    let (requests, recorded) = told(vec![accepted()]).await;
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let lower = request.to_ascii_lowercase();
    for part in
        ["webhook-timestamp: 1001", "webhook-signature: v1,", "content-type: application/json"]
    {
        assert!(lower.contains(part), "{part}: {request}");
    }
    assert!(!request.contains("CANARY"), "{request}");
    let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["type"], "approval.requested");
    assert_eq!(body["data"]["approval_url"], "https://broker.example/approvals/x");
    let id = body["data"]["approval_id"].as_str().unwrap();
    assert!(lower.contains(&format!("webhook-id: {id}")), "{request}");
    assert_eq!(recorded["event_type"], "approval.notified");
    assert_eq!(
        (&recorded["payload"]["delivered"], &recorded["payload"]["attempts"]),
        (&true.into(), &1.into())
    );
}

#[tokio::test]
async fn what_was_not_taken_is_sent_again_under_the_same_id() {
    let refusals = [
        Act::Answer(500, "", String::new()),
        Act::Close,
        Act::Answer(302, "location: http://127.0.0.1:9/\r\n", String::new()),
    ];
    let (requests, recorded) = told([refusals.to_vec(), vec![accepted()]].concat()).await;
    assert_eq!(requests.len(), 4);
    let id = |request: &String| {
        request.to_ascii_lowercase().split("webhook-id: ").nth(1).map(|rest| rest[..36].to_owned())
    };
    assert!(requests.iter().all(|request| id(request) == id(&requests[0])));
    assert_eq!(recorded["payload"]["attempts"], 4);
}

#[tokio::test]
async fn attempts_end() {
    let (requests, recorded) = told(vec![Act::Answer(503, "", String::new())]).await;
    assert_eq!(requests.len(), 6);
    assert_eq!(recorded["payload"]["delivered"], false);
    let (requests, recorded) = told(vec![Act::Answer(410, "", String::new())]).await;
    assert_eq!(
        (requests.len(), &recorded["payload"]["delivered"]),
        (1, &false.into()),
        "gone is gone"
    );
}

#[tokio::test]
async fn nothing_is_sent_again_once_the_question_is_over() {
    let (requests, recorded) =
        told(vec![Act::Answer(429, "retry-after: 3000\r\n", String::new())]).await;
    assert_eq!(requests.len(), 1, "it would be after the question's deadline");
    assert_eq!(recorded["payload"]["delivered"], false);
}
