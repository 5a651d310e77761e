//! What one decision costs with few and with many rules, and what loading many costs.
//!
//! `cargo bench --bench policy`. Half of the rules are about Graph operations, a third names groups, a tenth has a condition;
//! every question meets one that allows it.
#![expect(clippy::unwrap_used, reason = "a bench that cannot start should say so")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mcp_auth_broker::id::{ClientId, Issuer, Subject};
use mcp_auth_broker::policy::{
    Arguments, Ask, Facts, GraphAsk, Moment, Needs, Operation, Policy, Who, World,
};
use mcp_auth_broker::scope::Scope;
use mcp_auth_broker::time::Timestamp;
use serde_json::{Map, Value, json};

const EXECUTE: &str = "auth.graph.operation.execute.v1";
const SIZES: [usize; 2] = [100, 10_000];

fn facts() -> Facts {
    let graph = "https://graph.microsoft.com".to_owned();
    Facts {
        issuer: "https://broker.example".to_owned(),
        profiles: vec![("reader".parse().unwrap(), "contoso".parse().unwrap())],
        resource: graph.clone(),
        allowed_resources: vec![graph],
        allowed_permissions: None,
        tools: vec![EXECUTE.to_owned(), "get_public_info".to_owned()],
        reading_tools: vec!["get_public_info".to_owned()],
    }
}

/// A file of `size` rules.
fn file(size: usize) -> String {
    let mut text = "version = \"bench\"\n".to_owned();
    for number in 0..size {
        let effect = if number % 20 == 19 { "deny" } else { "allow" };
        let tool =
            if number % 2 == 0 { EXECUTE.replace('.', "\\\\.") } else { format!("tool_{number}") };
        writeln!(text, "[[rule]]\nid = \"r{number}\"\neffect = \"{effect}\"\ntools = [\"{tool}\"]")
            .unwrap();
        writeln!(text, "scopes = [\"graph:read\"]").unwrap();
        if number % 3 == 0 {
            writeln!(text, "principals = {{ groups = [\"group-{number}\"] }}").unwrap();
        }
        if number % 2 == 0 {
            let path = format!("/v1.0/kind{}/{{id}}/part{number}", number % 50);
            writeln!(text, "graph = {{ methods = [\"GET\"], paths = [\"{path}\"], permissions = [\"User.Read.All\"] }}").unwrap();
        }
        if number % 10 == 1 {
            writeln!(text, "when = \"claims.oid == 'ada'\"").unwrap();
        }
    }
    text
}

/// As many rules, each about a pattern of its own.
fn patterns(size: usize) -> String {
    let mut text = "version = \"bench\"\n".to_owned();
    for number in 0..size {
        writeln!(text, "[[rule]]\nid = \"r{number}\"\neffect = \"allow\"\ntools = [\"w1\\\\.get_{number}.*\"]\nscopes = [\"w:read\"]")
            .unwrap();
    }
    text
}

fn load(text: &str) -> Policy {
    Policy::load("bench.toml", text, None, &[], facts()).unwrap()
}

struct Caller {
    issuer: Issuer,
    subject: Subject,
    client: ClientId,
    scopes: Scope,
    groups: Vec<Arc<str>>,
    claims: Map<String, Value>,
}

fn caller() -> Caller {
    let Value::Object(claims) = json!({ "oid": "ada", "sub": "ada" }) else { unreachable!() };
    Caller {
        issuer: "https://broker.example".parse().unwrap(),
        subject: "ada".parse().unwrap(),
        client: "agent".parse().unwrap(),
        scopes: "graph:read".parse().unwrap(),
        groups: (0..20).map(|number| format!("group-{}", number * 3).into()).collect(),
        claims,
    }
}

impl Caller {
    fn who(&self) -> Who<'_> {
        Who {
            issuer: &self.issuer,
            subject: Some(&self.subject),
            client_id: Some(&self.client),
            scopes: &self.scopes,
            groups: &self.groups,
            groups_incomplete: false,
            roles: &[],
            roles_incomplete: false,
            claims: Some(&self.claims),
            told: None,
        }
    }
}

fn decisions(criterion: &mut Criterion) {
    let caller = caller();
    let now = Moment::at(Timestamp::from_unix_seconds(1_795_172_400));
    let mut group = criterion.benchmark_group("decision");
    for size in SIZES {
        let policy = load(&file(size));
        let number = size - 50; // even, no multiple of 3: an operation for everybody
        let number = if number % 3 == 0 { number + 2 } else { number };
        let segments: Vec<String> =
            [format!("kind{}", number % 50), "1".to_owned(), format!("part{number}")].into();
        let graph = GraphAsk {
            tenant: None,
            resource: None,
            method: "GET",
            version: "v1.0",
            segments: &segments,
            query: &[],
            permissions: &[],
            asserted_requester: None,
        };
        let operation = Operation::Graph(graph);
        let arguments = Arguments::Json("{}");
        let ask = Ask { who: caller.who(), tool: EXECUTE, operation, arguments, now };
        assert!(policy.decide(&ask).is_allow());
        group.bench_with_input(BenchmarkId::new("operation", size), &ask, |bencher, ask| {
            bencher.iter(|| black_box(policy.decide(black_box(ask))));
        });
        let (operation, arguments) = (Operation::AnyGraph, Arguments::Unknown);
        let ask = Ask { who: caller.who(), tool: EXECUTE, operation, arguments, now };
        group.bench_with_input(BenchmarkId::new("list", size), &ask, |bencher, ask| {
            bencher.iter(|| black_box(policy.decide(black_box(ask))));
        });
        let (operation, arguments) = (Operation::Plain, Arguments::Json("{}"));
        let ask = Ask { who: caller.who(), tool: "tool_11", operation, arguments, now };
        assert!(policy.decide(&ask).is_allow());
        group.bench_with_input(BenchmarkId::new("condition", size), &ask, |bencher, ask| {
            bencher.iter(|| black_box(policy.decide(black_box(ask))));
        });
    }
    group.finish();
}

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reload");
    group.sample_size(10);
    for size in SIZES {
        let text = file(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| black_box(load(black_box(&text))));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("reload of patterns");
    group.sample_size(10);
    for size in SIZES {
        let text = patterns(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| black_box(load(black_box(&text))));
        });
    }
    group.finish();
}

/// `broker policy lint`, without what reading the rules costs.
fn linting(criterion: &mut Criterion) {
    let world = World {
        operation_tool: EXECUTE,
        servers: ["w1".to_owned()].into(),
        issuers: ["https://broker.example".to_owned()].into(),
        ..World::default()
    };
    let mut group = criterion.benchmark_group("lint");
    group.sample_size(10);
    for (name, text) in [("rules", file(10_000)), ("patterns", patterns(10_000))] {
        let policy = load(&text);
        group.bench_function(BenchmarkId::new(name, 10_000), |bencher| {
            bencher.iter(|| black_box(policy.lint(&world, |_, _| Needs::Unknown)));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, loading, linting);
criterion_main!(benches);
