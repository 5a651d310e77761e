//! The list, the call, the challenge, the audit log and the explanation say the same, whatever the rules are: of our own
//! tools, and of those of a server behind the broker.

use std::collections::BTreeSet;

use mcp_auth_broker::app;
use mcp_auth_broker::policy::{
    Arguments, Ask, Decision, Effect, Explanation, Moment, Operation, Policy,
};
use mcp_auth_broker::secret::Environment as Variables;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::agreement_callers::{Caller, callers, principals, settings};
use crate::support::product::{LIST, Product, Wire, mcp};
use crate::support::raw_http::Answer;
use crate::upstream::{Behind, PATH};

/// An endpoint, with what of it rules are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    path: &'static str,
    /// Before a tool's name in rules.
    prefix: &'static str,
    pub(super) tools: &'static [&'static str],
    patterns: &'static [&'static str],
}

const OURS: Place = Place {
    path: "/mcp",
    prefix: "",
    tools: &["get_public_info", "get_confidential_info", LIST],
    patterns: &[
        "get_public_info",
        "get_.*",
        ".*",
        r"auth\.graph\.operations\.list\.v1",
        "get_confidential_info",
    ],
};
pub(super) const THEIRS: Place = Place {
    path: PATH,
    prefix: "weather.",
    tools: &["get_weather", "delete_city"],
    patterns: &[r"weather\.get_weather", r"weather\..*", ".*", r"weather\.delete_.*", "get_.*"],
};
/// Prompts and resources of the server behind; they are had otherwise than tools are called.
pub(super) const THINGS: Place = Place {
    path: PATH,
    prefix: "weather/",
    tools: &[],
    patterns: &[
        "weather/prompts/day",
        r"weather/prompts/.*",
        "weather/resources/city:.*",
        r"weather/.*",
        ".*",
    ],
};

const SCOPES: [&str; 3] = ["a", "b", "c:x"];
const WHEN: [&str; 5] = [
    "claims.sub == 'ada'",
    "claims.missing == 1",
    "arguments.amount > 5",
    "'board' in caller.groups",
    "has(arguments.region)",
];
pub(super) const ARGUMENTS: [&str; 3] =
    ["{}", r#"{"region":"eu"}"#, r#"{"region":"us","amount":9}"#];

pub(super) fn rules(place: Place) -> impl Strategy<Value = String> {
    let rule = (
        select(&["allow", "allow", "deny", "ask"][..]),
        select(place.patterns),
        subsequence(&SCOPES[..], 0..=2),
        principals(),
        proptest::option::weighted(0.3, select(&WHEN[..])),
        proptest::option::weighted(0.2, select(&["eu", "us"][..])),
    );
    proptest::collection::vec(rule, 1..8).prop_map(|rules| {
        let text = |(number, (effect, tools, scopes, principals, when, region))| {
            let when = Option::map(when, |when: &str| format!("when = \"{when}\"\n"));
            let region = Option::map(region, |region: &str| {
                format!("arguments = {{ region = [\"{region}\"] }}\n")
            });
            format!(
                "[[rule]]\nid = \"r{number}\"\neffect = \"{effect}\"\ntools = ['{tools}']\n\
                 scopes = {scopes:?}\n{principals}{}{}",
                when.unwrap_or_default(),
                region.unwrap_or_default()
            )
        };
        rules.into_iter().enumerate().map(text).collect()
    })
}

/// What a caller meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Policy let it through; what the tool makes of its arguments is another matter.
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
    place: Place,
    /// The server behind, as long as it is to be there.
    _server: Option<JoinSet<()>>,
}

/// A tool and the arguments of its call.
type Call = (&'static str, &'static str);

impl Bench {
    async fn ours(rules: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
        let settings = format!("policy.file = \"policy.toml\"\n{}", settings());
        let product = Product::start_in(directory, &settings, &[]).await;
        let file = product.directory.path().join("policy.toml");
        let policy = load(&product, &file);
        Self { product, policy, place: OURS, _server: None }
    }

    async fn theirs(rules: &str) -> Self {
        let Behind { product, server, .. } = Behind::start_with(&settings(), rules).await;
        let file = product.config().policy.file.clone().unwrap();
        let policy = load(&product, &file);
        Self { product, policy, place: THEIRS, _server: Some(server) }
    }

    fn audience(&self) -> String {
        self.product.url(self.place.path)
    }

    async fn rpc(&self, caller: &Caller, method: &str, params: Value) -> Answer {
        let token = caller.token(&self.audience());
        let request = mcp(Wire::Modern, Some(&token), method, params);
        self.product.send(request.path(self.place.path)).await
    }

    async fn listed(&self, caller: &Caller) -> BTreeSet<String> {
        let answer = self.rpc(caller, "tools/list", json!({})).await.json();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn call(&self, caller: &Caller, (tool, arguments): Call) -> Met {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = self.rpc(caller, "tools/call", params).await;
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
        match answer["result"]["structuredContent"]["error"]["code"].as_str() {
            Some(code) if answer["result"]["isError"] == true && code.starts_with("policy.") => {
                Met::Refused(code.to_owned())
            }
            _ => Met::Done,
        }
    }

    /// What the same rules say, asked for an explanation: of the tool as such where no scope would show it.
    fn explained(&self, caller: &Caller, (tool, arguments): (&str, &str)) -> Decision {
        let name = [self.place.prefix, tool].concat();
        let explain = |arguments| -> Explanation {
            caller.ask(&self.audience(), |who| {
                let (operation, now) = (Operation::Plain, Moment::default());
                self.policy.explain(&Ask { who, tool: &name, operation, arguments, now })
            })
        };
        let as_such = explain(Arguments::Unknown).decision;
        if !as_such.shows_the_tool() && !as_such.can_step_up() {
            return as_such;
        }
        explain(Arguments::Json(arguments)).decision
    }

    async fn check(&self, caller: &Caller, call: Call) {
        let listed = self.listed(caller).await.contains(call.0);
        let met = self.call(caller, call).await;
        let audited = self.product.audit().pop().unwrap();
        let told = self.explained(caller, call);
        let case = format!("{caller:?} {call:?}: {met:?}, listed {listed}\n{told:?}\n{audited}");
        assert_eq!(audited["payload"]["reason"], told.reason.to_string(), "{case}");
        match met {
            Met::Done => assert!(listed && told.effect == Effect::Allow, "{case}"),
            Met::Refused(code) => {
                assert!(listed, "{case}");
                let asks = code == "policy.approval_required";
                assert_eq!(told.effect, if asks { Effect::Ask } else { Effect::Deny }, "{case}");
            }
            Met::Unknown => {
                let refused = told.effect == Effect::Deny && told.missing_scopes.is_empty();
                assert!(!listed && refused, "{case}");
                self.hidden_is_unknown(caller, call).await;
            }
            Met::Challenged(named) => {
                let missing = told.missing_scopes.iter().map(ToString::to_string).collect();
                assert_eq!(named, missing, "{case}");
                self.climb(caller, call, &named).await;
            }
        }
    }

    /// The scopes of a challenge turn the refusal, and no fewer do.
    async fn climb(&self, caller: &Caller, call: Call, named: &BTreeSet<String>) {
        let met = self.call(&caller.with(named.iter()), call).await;
        let opened = match &met {
            Met::Done => true,
            Met::Refused(code) => code == "policy.approval_required",
            Met::Challenged(_) | Met::Unknown => false,
        };
        assert!(opened, "{named:?} did not help {caller:?} with {call:?}: {met:?}");
        for left_out in named {
            let fewer = caller.with(named.iter().filter(|scope| *scope != left_out));
            let met = self.call(&fewer, call).await;
            assert!(!matches!(met, Met::Done), "{left_out} was not needed");
        }
    }

    /// What is hidden looks like what is not there, byte for byte.
    async fn hidden_is_unknown(&self, caller: &Caller, (tool, arguments): Call) {
        // As long as the tool's name, and none.
        let nobodys = &format!("{}x", &tool[..tool.len() - 1]);
        let of_nobody = self.explained(caller, (nobodys, arguments));
        // Which names a server has, only the server knows: there rules by pattern may be about nobody's.
        if !self.place.prefix.is_empty() && (of_nobody.shows_the_tool() || of_nobody.is_challenge())
        {
            return;
        }
        let arguments: &Value = &serde_json::from_str(arguments).unwrap();
        let ask = |name: &str| {
            self.rpc(caller, "tools/call", json!({ "name": name, "arguments": arguments }))
        };
        let (hidden, unknown) = (ask(tool).await, ask(nobodys).await);
        let spelt = |text: &str| text.replace(nobodys, tool);
        let without_date = |head: &str| -> Vec<String> {
            let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(hidden.status, unknown.status);
        assert_eq!(without_date(&hidden.head), without_date(&spelt(&unknown.head)));
        assert_eq!(hidden.body, spelt(&unknown.body));
    }

    /// Random callers and calls of every tool.
    async fn check_all(&self, runner: &mut TestRunner) {
        for tool in self.place.tools {
            for arguments in ARGUMENTS {
                for _ in 0..2 {
                    let caller = callers().new_tree(runner).unwrap().current();
                    self.check(&caller, (tool, arguments)).await;
                }
            }
        }
    }
}

pub(super) fn load(product: &Product, file: &std::path::Path) -> Policy {
    let source = app::policy_source(product.config(), &Variables::default()).unwrap();
    source.load_file(file, None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_called_challenged_audited_and_explained_never_disagrees() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let rules = rules(OURS).new_tree(&mut runner).unwrap().current();
        Bench::ours(&rules).await.check_all(&mut runner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_of_the_tools_of_a_server_behind_the_broker() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let rules = rules(THEIRS).new_tree(&mut runner).unwrap().current();
        Bench::theirs(&rules).await.check_all(&mut runner).await;
    }
}
