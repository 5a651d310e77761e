//! What counting costs a request, and what a page of 10,000 series costs a scrape: under 5 ms is asked for.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mcp_auth_broker::metrics::{Exposition, Meters};
use mcp_auth_broker::time::{FixedClock, Timestamp};

fn metrics(criterion: &mut Criterion) {
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
    let meters = Meters::new(clock.clone());
    criterion.bench_function("count an HTTP request", |bencher| {
        bencher.iter(|| meters.request("/mcp", "POST").answered(black_box(200)));
    });
    criterion.bench_function("count a decision", |bencher| {
        bencher.iter(|| {
            meters
                .decisions
                .add(["allow".into(), black_box("policy.rule.allow.a").to_owned().into()]);
        });
    });
    // 16 series each, of times, and 1 of a counter: 600 × 17 = 10,200.
    for n in 0..600 {
        let tool = format!("server.tool{n}");
        meters.tool_times.observe([tool.clone().into()], Duration::from_millis(n));
        meters.tool_calls.add([tool.into(), "ok".into(), "none".into()]);
    }
    let page = Exposition::new(&meters, clock.clone());
    let series =
        || page.text().split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).count();
    assert!(series() > 10_000, "{}", series());
    criterion.bench_function("a page of 10,000 series", |bencher| {
        bencher.iter(|| {
            clock.advance(Duration::from_secs(1)); // else it is the one from before
            black_box(page.text())
        });
    });
    criterion
        .bench_function("the same page again", |bencher| bencher.iter(|| black_box(page.text())));
}

criterion_group!(benches, metrics);
criterion_main!(benches);
