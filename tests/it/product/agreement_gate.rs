//! The gate for Envoy, its challenge, the audit log and the explanation say the same, whatever the rules are.

use std::collections::BTreeSet;

use mcp_auth_broker::app;
use mcp_auth_broker::policy::{
    About, Arguments, Ask, BesideAsk, Decision, Effect, Moment, Operation, Policy, Who,
};
use mcp_auth_broker::scope::Scope;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::agreement::{ARGUMENTS, Met, THEIRS, load, rules};
use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

const SERVER: &str = "https://weather.example/mcp";
/// Of the length of the first tool's name, and none.
const NOBODYS: &str = "get_weathex";

/// The gate before a server that was registered with the scope `a`.
struct Gate {
    product: Product,
    policy: Policy,
}

/// Who calls, with these scopes.
#[derive(Clone, Debug)]
struct Caller {
    subject: &'static str,
    scopes: BTreeSet<String>,
}

fn callers() -> impl Strategy<Value = Caller> {
    let who = (select(&["ada", "eve"][..]), subsequence(&["a", "b", "c:*", "c:x"][..], 0..=3));
    who.prop_map(|(subject, scopes)| {
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        Caller { subject, scopes }
    })
}

impl Gate {
    async fn start(rules: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
        let product = Product::start_in(directory, "policy.file = \"policy.toml\"\n", &[]).await;
        let add = ["server", "add", "weather", SERVER, "--scope", "a"];
        let added = command(product.directory.path(), &add);
        assert!(added.status.success(), "{added:?}");
        let policy = load(&product, &product.directory.path().join("policy.toml"));
        Self { product, policy }
    }

    async fn ask(&self, caller: &Caller, (tool, arguments): (&str, &str)) -> Answer {
        let scopes: Vec<_> = caller.scopes.iter().map(String::as_str).collect();
        let token = self.product.token_with(&scopes, |token| {
            SERVER.clone_into(&mut token.audience);
            token.subject = caller.subject.parse().unwrap();
        });
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
        let params = json!({ "name": tool, "arguments": arguments });
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
        let request = Request::new("POST", "/ext-authz/weather/mcp")
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("x-envoy-auth-partial-body", "false");
        self.product.send(request.body(call.to_string())).await
    }

    /// As what a client behind Envoy meets.
    async fn met(&self, caller: &Caller, call: (&str, &str)) -> Met {
        let answer = self.ask(caller, call).await;
        if answer.status == 200 {
            return Met::Done;
        }
        assert_eq!(answer.status, 403, "{answer:?}");
        if answer.head.contains("www-authenticate") {
            let challenge = answer.header("www-authenticate");
            let scopes = challenge.split("scope=\"").nth(1).unwrap().split('"').next().unwrap();
            return Met::Challenged(scopes.split(' ').map(str::to_owned).collect());
        }
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        if said.starts_with("Unknown tool: ") { Met::Unknown } else { Met::Refused(said) }
    }

    /// What the same rules say, asked for an explanation.
    fn explained(&self, caller: &Caller, (tool, arguments): (&str, &str)) -> Decision {
        let issuer = app::issuer(self.product.config()).parse().unwrap();
        let (subject, client) = (caller.subject.parse().unwrap(), "agent".parse().unwrap());
        let scopes: Scope = caller.scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        let claims = json!({ "sub": caller.subject, "client_id": "agent" });
        let registered: Scope = "a".parse().unwrap();
        let name = format!("weather.{tool}");
        let explain = |arguments| {
            let who = Who {
                issuer: &issuer,
                subject: Some(&subject),
                client_id: Some(&client),
                scopes: &scopes,
                groups: &[],
                groups_incomplete: false,
                roles: &[],
                roles_incomplete: false,
                claims: claims.as_object(),
                told: None,
            };
            let beside = BesideAsk { server: "weather", scopes: &registered, about: About::Thing };
            let (operation, now) = (Operation::Beside(beside), Moment::default());
            self.policy.explain(&Ask { who, tool: &name, operation, arguments, now }).decision
        };
        let as_such = explain(Arguments::Unknown);
        if !as_such.shows_the_tool() && !as_such.is_challenge() {
            return as_such;
        }
        explain(Arguments::Json(arguments))
    }

    /// The command says what the rules say.
    fn told_by_command(&self, caller: &Caller, (tool, arguments): (&str, &str)) {
        let (name, issuer) = (format!("weather.{tool}"), app::issuer(self.product.config()));
        let mut explain = vec!["policy", "explain", &name, "--gate", "weather", "--json"];
        explain.extend(["--subject", caller.subject, "--client", "agent", "--issuer", &issuer]);
        explain.extend(["--arguments", arguments]);
        explain.extend(caller.scopes.iter().flat_map(|scope| ["--scope", scope]));
        let output = command(self.product.directory.path(), &explain);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = self.explained(caller, (tool, arguments));
        let (effect, missing) = (json!(said.effect), json!(said.missing_scopes));
        let decision = &told["decision"];
        assert_eq!(
            (&decision["effect"], &decision["missing_scopes"]),
            (&effect, &missing),
            "{told:#}"
        );
        if told["listed"] == true {
            assert_eq!(decision["reason"], said.reason.to_string(), "{told:#}");
        }
    }

    async fn check(&self, caller: &Caller, call: (&str, &str)) {
        let met = self.met(caller, call).await;
        let audited = self.product.audit().pop().unwrap();
        let told = self.explained(caller, call);
        let case = format!("{caller:?} {call:?}: {met:?}\n{told:?}\n{audited}");
        assert_eq!(audited["payload"]["reason"], told.reason.to_string(), "{case}");
        match met {
            Met::Done => assert_eq!(told.effect, Effect::Allow, "{case}"),
            Met::Refused(said) => {
                let asks = said.contains("needs an approval");
                assert_eq!(told.effect, if asks { Effect::Ask } else { Effect::Deny }, "{case}");
            }
            Met::Unknown => {
                assert!(told.effect == Effect::Deny && told.missing_scopes.is_empty(), "{case}");
                self.hidden_is_unknown(caller, call.0).await;
            }
            Met::Challenged(named) => {
                let missing = told.missing_scopes.iter().map(ToString::to_string).collect();
                assert_eq!(named, missing, "{case}");
                let mut more = caller.clone();
                more.scopes.extend(named);
                let opened = match self.met(&more, call).await {
                    Met::Done => true,
                    Met::Refused(said) => said.contains("needs an approval"),
                    Met::Challenged(_) | Met::Unknown => false,
                };
                assert!(opened, "the scopes did not help: {case}");
            }
        }
    }

    async fn hidden_is_unknown(&self, caller: &Caller, tool: &str) {
        let nobodys = self.explained(caller, (NOBODYS, "{}"));
        let is_hidden = nobodys.effect == Effect::Deny && nobodys.missing_scopes.is_empty();
        // Rules by pattern may be about names that nobody has.
        if tool.len() != NOBODYS.len() || !is_hidden || nobodys.shows_the_tool() {
            return;
        }
        let hidden = self.ask(caller, (tool, "{}")).await;
        let unknown = self.ask(caller, (NOBODYS, "{}")).await;
        assert_eq!(hidden.status, unknown.status);
        assert_eq!(hidden.body, unknown.body.replace(NOBODYS, tool));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_for_envoy_agrees_with_the_log_and_the_explanation() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..16 {
        let rules = rules(THEIRS).new_tree(&mut runner).unwrap().current();
        let gate = Gate::start(&rules).await;
        for tool in THEIRS.tools {
            for arguments in ARGUMENTS {
                for _ in 0..2 {
                    let caller = callers().new_tree(&mut runner).unwrap().current();
                    gate.check(&caller, (tool, arguments)).await;
                }
            }
            let caller = callers().new_tree(&mut runner).unwrap().current();
            gate.told_by_command(&caller, (tool, ARGUMENTS[0]));
        }
    }
}
