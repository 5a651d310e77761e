//! Prompts and resources of a server behind the broker: what is listed, had, challenged, audited and explained is the same.

use std::collections::BTreeSet;

use mcp_auth_broker::policy::{Arguments, Ask, Decision, Effect, Moment, Operation, Policy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::agreement::{THINGS, load, rules};
use super::agreement_callers::{Caller, callers, settings};
use crate::support::product::{Wire, mcp};
use crate::support::raw_http::Answer;
use crate::upstream::{Behind, PATH};

/// How a kind of thing is listed and had.
struct Kind {
    list: &'static str,
    get: &'static str,
    /// In the answer of the list, and in the name that rules see.
    all: &'static str,
    key: &'static str,
    names: [&'static str; 2],
}

const KINDS: [Kind; 2] = [
    Kind {
        list: "prompts/list",
        get: "prompts/get",
        all: "prompts",
        key: "name",
        names: ["day", "night"],
    },
    Kind {
        list: "resources/list",
        get: "resources/read",
        all: "resources",
        key: "uri",
        names: ["city:paris", "secret:key"],
    },
];

struct Bench {
    behind: Behind,
    policy: Policy,
}

impl Bench {
    async fn start(rules: &str) -> Self {
        let behind = Behind::start_with(&settings(), rules).await;
        let file = behind.product.config().policy.file.clone().unwrap();
        let policy = load(&behind.product, &file);
        Self { behind, policy }
    }

    async fn rpc(&self, caller: &Caller, method: &str, params: Value) -> Answer {
        let token = caller.token(&self.behind.product.url(PATH));
        self.behind.product.send(mcp(Wire::Legacy, Some(&token), method, params).path(PATH)).await
    }

    async fn listed(&self, caller: &Caller, kind: &Kind) -> BTreeSet<String> {
        let answer = self.rpc(caller, kind.list, json!({})).await.json();
        let all = answer["result"][kind.all].as_array().unwrap_or_else(|| panic!("{answer}"));
        all.iter().map(|thing| thing[kind.key].as_str().unwrap().to_owned()).collect()
    }

    async fn get(&self, caller: &Caller, kind: &Kind, name: &str) -> Answer {
        self.rpc(caller, kind.get, json!({ kind.key: name })).await
    }

    /// What the same rules say of the thing as such.
    fn explained(&self, caller: &Caller, kind: &Kind, name: &str) -> Decision {
        let tool = format!("weather/{}/{name}", kind.all);
        // A resource has no arguments, ever.
        let is_resource = kind.all == "resources";
        let arguments = if is_resource { Arguments::Json("") } else { Arguments::Unknown };
        caller.ask(&self.behind.product.url(PATH), |who| {
            let (operation, now) = (Operation::Plain, Moment::default());
            self.policy.explain(&Ask { who, tool: &tool, operation, arguments, now }).decision
        })
    }

    async fn check(&self, caller: &Caller, kind: &Kind, name: &str) {
        let listed = self.listed(caller, kind).await.contains(name);
        let answer = self.get(caller, kind, name).await;
        let audited = self.behind.product.audit().pop().unwrap();
        let told = self.explained(caller, kind, name);
        let case = format!("{caller:?} {name}: {answer:?}, listed {listed}\n{told:?}\n{audited}");
        // Nobody is asked about either, so what a rule asks about is not shown.
        assert_eq!(listed, told.effect == Effect::Allow, "{case}");
        if answer.status == 403 {
            assert!(!listed, "{case}");
            let challenge = answer.header("www-authenticate");
            let named = challenge.split("scope=\"").nth(1).unwrap().split('"').next().unwrap();
            // Of a prompt a rule may look at the arguments that come with it.
            if kind.all == "resources" {
                assert_eq!(named, told.missing_scopes.to_string(), "{case}");
            }
            let named: Vec<String> = named.split(' ').map(str::to_owned).collect();
            let again = self.get(&caller.with(named.iter()), kind, name).await;
            assert_ne!(again.status, 403, "{case}\n{again:?}");
            return;
        }
        let had = answer.json()["result"].is_object();
        assert!(!had || listed, "{case}");
        if kind.all == "resources" {
            assert!(had == listed && !told.can_step_up(), "{case}");
            assert_eq!(audited["payload"]["reason"], told.reason.to_string(), "{case}");
        }
        if !listed {
            self.hidden_is_unknown(caller, kind, (name, &answer)).await;
        }
    }

    /// What is hidden looks like what is not there, byte for byte.
    async fn hidden_is_unknown(
        &self,
        caller: &Caller,
        kind: &Kind,
        (name, hidden): (&str, &Answer),
    ) {
        let nobodys = format!("{}x", &name[..name.len() - 1]);
        let of_nobody = self.explained(caller, kind, &nobodys);
        if of_nobody.effect != Effect::Deny || of_nobody.can_step_up() {
            return;
        }
        let unknown = self.get(caller, kind, &nobodys).await;
        assert_eq!(hidden.status, unknown.status);
        assert_eq!(hidden.body, unknown.body.replace(&nobodys, name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_and_resources_are_listed_and_had_by_one_decision() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..16 {
        let rules = rules(THINGS).new_tree(&mut runner).unwrap().current();
        let bench = Bench::start(&rules).await;
        for kind in &KINDS {
            for name in kind.names {
                let caller = callers().new_tree(&mut runner).unwrap().current();
                bench.check(&caller, kind, name).await;
            }
        }
    }
}
