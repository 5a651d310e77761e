//! What one audit event costs its caller, by sink.
//!
//! `cargo bench --bench audit`. Concurrent callers: the time of all is divided by the number of events.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mcp_auth_broker::audit::{
    AuditEvent, AuditSettings, Auditor, Context, FileSettings, OnFailure, ResultStatus,
    SinkSettings,
};
use mcp_auth_broker::id::{RequestId, TraceId};
use mcp_auth_broker::policy::Obligations;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::SystemClock;
use tokio::runtime::Runtime;

fn context() -> Context {
    let random = SystemRandom::new();
    Context {
        request_id: RequestId::generate(&SystemClock, &random),
        trace_id: TraceId::generate(&random),
        requester_id: "ada@contoso.example".parse().ok(),
        client_id: "nightly-report".parse().ok(),
        asserted_requester_id: None,
        redactions: Vec::new(),
    }
}

fn event() -> AuditEvent {
    AuditEvent::ResultEmit {
        method: "tools/call",
        tool_name: "get_public_info".parse().ok(),
        status: ResultStatus::Ok,
        error_code: None,
        duration_ms: 1,
        decision: None,
        reason: None,
        policy_version: Some("2026-11+0123456789abcdef".into()),
        evaluated: Vec::new(),
        obligations: Obligations::default(),
        question: None,
    }
}

async fn records(auditor: Auditor, count: u64) {
    let (context, event) = (context(), event());
    for _ in 0..count {
        assert!(auditor.record(&context, event.clone()).await.is_ok());
    }
}

/// `callers` tasks, each recording `each` events.
fn bench(c: &mut Criterion, name: &str, sink: SinkSettings, callers: u64, each: u64) {
    let Ok(runtime) = Runtime::new() else { return };
    let settings = AuditSettings {
        queue_length: 8192,
        on_failure: OnFailure::Block,
        limit: Duration::from_secs(10),
        sinks: vec![sink],
        service: "mcp-auth-broker".into(),
        environment: "dev",
    };
    let opened = Auditor::open(settings, Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let Ok(auditor) = opened else { return };
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(callers * each));
    group.bench_function(name, |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..callers {
                    tasks.spawn(records(auditor.clone(), each));
                }
                tasks.join_all().await
            })
        });
    });
    group.finish();
    runtime.block_on(auditor.close(Duration::from_secs(10))).ok();
}

fn all(c: &mut Criterion) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let file = |name: &str| FileSettings {
        max_total_bytes: Some(512 << 20),
        ..FileSettings::at(folder.path().join(name))
    };
    bench(c, "null, 1 caller", SinkSettings::File(FileSettings::at("/dev/null")), 1, 1000);
    bench(c, "file, 1 caller", SinkSettings::File(file("one.jsonl")), 1, 1000);
    bench(c, "file, 16 callers", SinkSettings::File(file("sixteen.jsonl")), 16, 1000);
    let chained = FileSettings { hash_chain: true, ..file("chain.jsonl") };
    bench(c, "file and chain, 16 callers", SinkSettings::File(chained), 16, 1000);
    let durable = FileSettings { durable: true, ..file("durable.jsonl") };
    bench(c, "durable file, 16 callers", SinkSettings::File(durable), 16, 20);
    let alone = FileSettings { durable: true, ..file("alone.jsonl") };
    bench(c, "durable file, 1 caller", SinkSettings::File(alone), 1, 20);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = all
}
criterion_main!(benches);
