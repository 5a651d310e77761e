//! About Graph's operations, too, the list, the call, the challenge, the audit log and the explanation say the same.

use mcp_auth_broker::app;
use mcp_auth_broker::policy::{
    Arguments, Ask, Effect, Explanation, GraphAsk, Moment, Operation, Policy,
};
use mcp_auth_broker::secret::Environment as Variables;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::agreement_callers::{Caller, callers, principals, settings};
use crate::support::product::{EXECUTE, LIST, Product, Wire};
use crate::support::raw_http::Answer;

const PATHS: [&str; 4] =
    ["/v1.0/users/{id}", "/v1.0/users/{user}", "/v1.0/users/admin", "/v1.0/{all}/{id}"];
const METHODS: [&str; 2] = ["GET", "DELETE"];
const WHEN: [&str; 5] = [
    "claims.sub == 'ada'",
    "'board' in caller.groups",
    "claims.missing == 1",
    "request.write",
    "arguments.operation.path.contains('7')",
];
const CALLS: [(&str, &str); 3] = [("GET", "7"), ("DELETE", "7"), ("DELETE", "admin")];

/// Everybody sees the list; what is in it, the other rules say.
const LISTED: &str = "[[rule]]\nid = \"list\"\neffect = \"allow\"\n\
    tools = ['auth\\.graph\\.operations\\.list\\.v1']\n";

type Rule = (
    &'static str,
    Vec<&'static str>,
    &'static str,
    Vec<&'static str>,
    String,
    Option<&'static str>,
);

fn rules() -> impl Strategy<Value = String> {
    let rule = (
        select(&["allow", "allow", "deny", "ask"][..]),
        subsequence(&METHODS[..], 1..=2),
        select(&PATHS[..]),
        subsequence(&["a", "b"][..], 0..=2),
        principals(),
        proptest::option::weighted(0.3, select(&WHEN[..])),
    );
    proptest::collection::vec(rule, 1..6).prop_map(|rules| {
        let text = |(number, rule)| {
            let (effect, methods, path, scopes, principals, when): Rule = rule;
            let permissions =
                if effect == "deny" { "" } else { ", permissions = [\"User.ReadWrite.All\"]" };
            let when = when.map(|when| format!("when = \"{when}\"\n")).unwrap_or_default();
            let when = principals + &when;
            format!(
                "[[rule]]\nid = \"r{number}\"\neffect = \"{effect}\"\nscopes = {scopes:?}\n\
                 tools = ['auth\\.graph\\.operation\\.execute\\.v1']\n\
                 graph = {{ methods = {methods:?}, paths = [\"{path}\"]{permissions} }}\n{when}"
            )
        };
        let rules: Vec<String> = rules.into_iter().enumerate().map(text).collect();
        LISTED.to_owned() + &rules.concat()
    })
}

struct Bench {
    product: Product,
    policy: Policy,
    conditions: bool,
}

async fn bench(rules: &str) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let settings = format!("policy.file = \"policy.toml\"\n{}", settings());
    let product = Product::start_in(directory, &settings, &[]).await;
    let file = product.directory.path().join("policy.toml");
    let source = app::policy_source(product.config(), &Variables::default()).unwrap();
    let policy = source.load_file(&file, None).unwrap();
    Bench { product, policy, conditions: rules.contains("when = ") }
}

fn arguments(method: &str, id: &str) -> Value {
    json!({ "operation": { "method": method, "path": format!("/v1.0/users/{id}") } })
}

impl Bench {
    fn explained(&self, caller: &Caller, (method, id): (&str, &str)) -> Explanation {
        let graph = GraphAsk {
            tenant: None,
            resource: None,
            method,
            version: "v1.0",
            segments: &["users".to_owned(), id.to_owned()],
            query: &[],
            permissions: &[],
            asserted_requester: None,
        };
        let text = arguments(method, id).to_string();
        let (operation, arguments) = (Operation::Graph(graph), Arguments::Json(&text));
        let now = Moment::default();
        caller.ask(&self.audience(), |who| {
            self.policy.explain(&Ask { who, tool: EXECUTE, operation, arguments, now })
        })
    }

    fn audience(&self) -> String {
        self.product.url("/mcp")
    }

    /// What is listed of these calls: the template, whether scopes are missing, whether a person is asked.
    async fn listed(&self, token: &str, (method, id): (&str, &str)) -> Vec<(String, bool, bool)> {
        let answer = self.product.call(token, LIST, json!({})).await;
        let operations = answer["result"]["structuredContent"]["operations"].as_array().unwrap();
        let about = |operation: &&Value| {
            let template = operation["path_template"].as_str().unwrap();
            let last = template.rsplit('/').next().unwrap();
            operation["method"] == method && (last.starts_with('{') || last == id)
        };
        let shown = |operation: &Value| {
            let needs = !operation["needs_scopes"].as_array().unwrap().is_empty();
            let template = operation["path_template"].as_str().unwrap().to_owned();
            (template, needs, operation["approval"] == true)
        };
        operations.iter().filter(about).map(shown).collect()
    }

    async fn check(&self, caller: &Caller, call: (&str, &str)) {
        let token = caller.token(&self.audience());
        let listed = self.listed(&token, call).await;
        let params = json!({ "name": EXECUTE, "arguments": arguments(call.0, call.1) });
        let answer = self.product.rpc(Wire::Modern, &token, "tools/call", params).await;
        let told = self.explained(caller, call).decision;
        let case = format!("{caller:?} {call:?}: {told:?}\n{listed:?}\n{}", answer.body);
        let has =
            |approval: bool| listed.iter().any(|(_, needs, asks)| !needs && *asks == approval);
        match (told.effect, told.can_step_up()) {
            (_, true) => {
                assert_eq!(answer.status, 403, "{case}");
                assert!(listed.iter().any(|(_, needs, _)| *needs), "{case}");
            }
            (Effect::Allow, _) => {
                assert_eq!(status(&answer), "ok", "{case}");
                assert!(has(false), "{case}");
            }
            (Effect::Ask, _) => {
                assert_eq!(status(&answer), "policy.approval_required", "{case}");
                assert!(has(true) || has(false), "{case}");
            }
            (Effect::Deny, _) => {
                assert!(
                    ["hidden", told.code.unwrap().as_str()].contains(&&*status(&answer)),
                    "{case}"
                );
                // Nothing is left to be said by the call: such an operation is denied, and so not in the list.
                let exact = |(template, needs, _): &(String, bool, bool)| {
                    !self.conditions && !needs && template.ends_with(call.1)
                };
                assert!(!listed.iter().any(exact), "{case}");
            }
        }
        self.audited(&told.reason.to_string(), status(&answer) == "hidden", &case);
    }

    fn audited(&self, reason: &str, hidden: bool, case: &str) {
        let events = self.product.audit();
        let decided = events.iter().rfind(|event| event["payload"]["reason"].is_string()).unwrap();
        // Of a hidden tool the tool as such was decided about.
        assert!(hidden || decided["payload"]["reason"] == reason, "{decided}\n{case}");
    }
}

fn status(answer: &Answer) -> String {
    let answer = answer.json();
    if answer["error"].is_object() {
        return "hidden".to_owned();
    }
    let reply = &answer["result"]["structuredContent"];
    let code = &reply["error"]["code"];
    code.as_str().or(reply["status"].as_str()).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_about_an_operation_never_disagrees() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let rules = rules().new_tree(&mut runner).unwrap().current();
        let bench = bench(&rules).await;
        for call in CALLS {
            for _ in 0..3 {
                let caller = callers().new_tree(&mut runner).unwrap().current();
                bench.check(&caller, call).await;
            }
        }
    }
}
