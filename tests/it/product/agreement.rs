//! The list, the call, the challenge, the audit log and the explanation say the same, whatever the rules are.

use std::collections::BTreeSet;

use mcp_auth_broker::app;
use mcp_auth_broker::id::Subject;
use mcp_auth_broker::policy::{Arguments, Ask, Effect, Moment, Operation, Policy, Who};
use mcp_auth_broker::scope::Scope;
use mcp_auth_broker::secret::Environment as Variables;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::product::{LIST, Product, Wire};

const TOOLS: [&str; 3] = ["get_public_info", "get_confidential_info", LIST];
const PATTERNS: [&str; 5] = [
    "get_public_info",
    "get_.*",
    ".*",
    r"auth\\.graph\\.operations\\.list\\.v1",
    "get_confidential_info",
];
const SCOPES: [&str; 3] = ["a", "b", "c:x"];
/// Of the length of a tool's name, and none.
const NOBODYS: &str = "get_public_inf0";

/// Effect, tools, scopes, subject and condition.
type Rule =
    (&'static str, &'static str, Vec<&'static str>, Option<&'static str>, Option<&'static str>);

fn rules() -> impl Strategy<Value = String> {
    let rule = (
        select(&["allow", "allow", "deny", "ask"][..]),
        select(&PATTERNS[..]),
        subsequence(&SCOPES[..], 0..=2),
        proptest::option::weighted(0.4, select(&["ada", "eve"][..])),
        proptest::option::weighted(
            0.3,
            select(&["claims.sub == 'ada'", "claims.missing == 1"][..]),
        ),
    );
    proptest::collection::vec(rule, 1..7).prop_map(|rules| {
        let text = |(number, rule): (usize, Rule)| {
            let (effect, tools, scopes, subject, when) = rule;
            let subject = subject
                .map(|subject| format!("principals = {{ subjects = [\"{subject}\"] }}\n"))
                .unwrap_or_default();
            let when = when.map(|when| format!("when = \"{when}\"\n")).unwrap_or_default();
            format!(
                "[[rule]]\nid = \"r{number}\"\neffect = \"{effect}\"\ntools = [\"{tools}\"]\n\
                 scopes = {scopes:?}\n{subject}{when}"
            )
        };
        rules.into_iter().enumerate().map(text).collect()
    })
}

/// What a caller meets.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    Done,
    /// HTTP 403 with these scopes.
    Challenged(BTreeSet<String>),
    /// Refused, by a tool that is listed.
    Refused(String),
    /// No such tool.
    Unknown,
}

struct Bench {
    product: Product,
    policy: Policy,
}

async fn bench(rules: &str) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let product = Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await;
    let file = product.directory.path().join("policy.toml");
    let source = app::policy_source(product.config(), &Variables::default()).unwrap();
    let policy = source.load_file(&file, None).unwrap();
    Bench { product, policy }
}

impl Bench {
    fn token(&self, subject: &str, scopes: &[&str]) -> String {
        self.product.token_with(scopes, |token| token.subject = subject.parse().unwrap())
    }

    async fn listed(&self, token: &str) -> BTreeSet<String> {
        let answer = self.product.rpc(Wire::Modern, token, "tools/list", json!({})).await.json();
        let tools = answer["result"]["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn call(&self, token: &str, tool: &str) -> Met {
        let params = json!({ "name": tool, "arguments": {} });
        let answer = self.product.rpc(Wire::Modern, token, "tools/call", params).await;
        if answer.status == 403 {
            let challenge = answer.header("www-authenticate");
            let scopes = challenge.split("scope=\"").nth(1).unwrap().split('"').next().unwrap();
            return Met::Challenged(scopes.split(' ').map(str::to_owned).collect());
        }
        let answer = answer.json();
        if answer["error"].is_object() {
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            return Met::Unknown;
        }
        if answer["result"]["isError"] == true {
            let text = answer["result"]["content"][0]["text"].as_str().unwrap();
            return Met::Refused(text.split(':').next().unwrap().to_owned());
        }
        Met::Done
    }

    /// What the same rules say, asked for an explanation.
    fn explained(&self, subject: &str, scopes: &[&str], tool: &str) -> (Effect, Scope, Value) {
        let subject: Subject = subject.parse().unwrap();
        let scopes: Scope = scopes.join(" ").parse().unwrap();
        let issuer = app::issuer(self.product.config()).parse().unwrap();
        let (client, claims) = ("agent".parse().unwrap(), json!({ "sub": subject }));
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: Some(&client),
            scopes: &scopes,
            groups: &[],
            groups_incomplete: false,
            roles: &[],
            claims: claims.as_object(),
            told: None,
        };
        let (operation, arguments) = (Operation::Plain, Arguments::Json("{}"));
        let ask = Ask { who, tool, operation, arguments, now: Moment::default() };
        let told = self.policy.explain(&ask);
        let reason = json!(told.decision.reason.to_string());
        (told.decision.effect, told.decision.missing_scopes, reason)
    }

    async fn check(&self, subject: &str, scopes: &[&str], tool: &str) {
        let token = self.token(subject, scopes);
        let listed = self.listed(&token).await.contains(tool);
        let met = self.call(&token, tool).await;
        let audited = self.product.audit().pop().unwrap();
        let (effect, missing, reason) = self.explained(subject, scopes, tool);
        let case = format!("{subject} {scopes:?} {tool}: {met:?}, listed {listed}, {effect:?}");
        assert_eq!(audited["payload"]["reason"], reason, "{case}");
        match met {
            Met::Done => assert!(listed && effect == Effect::Allow, "{case}"),
            Met::Refused(code) => {
                assert!(listed, "{case}");
                let asks = code == "policy.approval_required";
                assert_eq!(effect, if asks { Effect::Ask } else { Effect::Deny }, "{case}");
            }
            Met::Unknown => {
                assert!(!listed && effect == Effect::Deny && missing.is_empty(), "{case}");
            }
            Met::Challenged(named) => {
                assert_eq!(named, missing.iter().map(ToString::to_string).collect(), "{case}");
                self.climb(subject, scopes, tool, &named).await;
            }
        }
    }

    /// The scopes of a challenge turn the refusal, and no fewer do.
    async fn climb(&self, subject: &str, scopes: &[&str], tool: &str, named: &BTreeSet<String>) {
        let with = |left_out: Option<&String>| {
            let more = named.iter().filter(|scope| Some(*scope) != left_out).map(String::as_str);
            let all: Vec<&str> = scopes.iter().copied().chain(more).collect();
            self.token(subject, &all)
        };
        let met = self.call(&with(None), tool).await;
        let opened = match &met {
            Met::Done => true,
            Met::Refused(code) => code == "policy.approval_required",
            Met::Challenged(_) | Met::Unknown => false,
        };
        assert!(opened, "{named:?} did not help {subject} {scopes:?} with {tool}: {met:?}");
        for scope in named {
            let met = self.call(&with(Some(scope)), tool).await;
            assert_ne!(met, Met::Done, "{scope} was not needed");
        }
    }

    /// What is hidden looks like what is not there, byte for byte.
    async fn hidden_is_unknown(&self, token: &str, tool: &str) {
        let ask = |name: &'static str| {
            let params = json!({ "name": name, "arguments": {} });
            self.product.rpc(Wire::Modern, token, "tools/call", params)
        };
        if self.call(token, tool).await != Met::Unknown || tool != "get_public_info" {
            return;
        }
        let (hidden, unknown) = (ask("get_public_info").await, ask(NOBODYS).await);
        let spelt = |text: &str| text.replace(NOBODYS, "get_public_info");
        let without_date = |head: &str| -> Vec<String> {
            let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(hidden.status, unknown.status);
        assert_eq!(without_date(&hidden.head), without_date(&spelt(&unknown.head)));
        assert_eq!(hidden.body, spelt(&unknown.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_called_challenged_audited_and_explained_never_disagrees() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..16 {
        let rules = rules().new_tree(&mut runner).unwrap().current();
        let bench = bench(&rules).await;
        for subject in ["ada", "eve"] {
            for scopes in [&[][..], &["a"], &["b", "c:*"], &["a", "b", "c:x"]] {
                for tool in TOOLS {
                    bench.check(subject, scopes, tool).await;
                }
                let token = bench.token(subject, scopes);
                bench.hidden_is_unknown(&token, "get_public_info").await;
            }
        }
    }
}
