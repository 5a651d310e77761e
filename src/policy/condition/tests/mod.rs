//! Conditions as rules have them: what they see, what they may say, and what happens when they fail.

mod expressions;

use serde_json::{Map, Value, json};

use crate::id::{Issuer, Subject};
use crate::policy::{
    Arguments, Ask, Decision, Effect, Facts, GraphAsk, LoginNeeded, Moment, Operation, Outcome,
    Policy, Who,
};
use crate::scope::Scope;
use crate::time::Timestamp;

const TOOL: &str = "auth.graph.operation.execute.v1";

/// A question that owns what it is made of.
struct Question {
    claims: Map<String, Value>,
    groups: Vec<std::sync::Arc<str>>,
    groups_incomplete: bool,
    roles_incomplete: bool,
    path: &'static str,
    method: &'static str,
    arguments: Option<String>,
    now: Moment,
}

fn question() -> Question {
    let Value::Object(claims) = json!({ "oid": "ada-oid", "level": 3, "tags": ["eu", "it"] })
    else {
        unreachable!()
    };
    Question {
        claims,
        groups: vec![],
        groups_incomplete: false,
        roles_incomplete: false,
        path: "/v1.0/users/ada-oid/messages",
        method: "GET",
        arguments: Some("{\"amount\":5,\"customer\":{\"region\":\"eu\"}}".to_owned()),
        now: Moment::at(noon()),
    }
}

/// 2026-11-20 12:00 in Berlin.
fn noon() -> Timestamp {
    Timestamp::from_unix_seconds(1_795_172_400)
}

impl Question {
    fn put(&self, policy: &Policy, operation: &Operation<'_>, tool: &str) -> Decision {
        let issuer: Issuer = "https://broker.example".parse().unwrap();
        let subject: Subject = "ada".parse().unwrap();
        let scopes: Scope = "graph:read".parse().unwrap();
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: None,
            scopes: &scopes,
            groups: &self.groups,
            groups_incomplete: self.groups_incomplete,
            roles: &[],
            roles_incomplete: self.roles_incomplete,
            claims: Some(&self.claims),
            told: None,
        };
        let arguments = self.arguments.as_deref().map_or(Arguments::Unknown, Arguments::Json);
        policy.decide(&Ask { who, tool, operation: *operation, arguments, now: self.now })
    }

    fn graph(&self, policy: &Policy) -> Decision {
        let mut parts = self.path.split('/').skip(1).map(str::to_owned);
        let version = parts.next().unwrap();
        let segments: Vec<String> = parts.collect();
        let graph = GraphAsk {
            tenant: None,
            resource: None,
            method: self.method,
            version: &version,
            segments: &segments,
            query: &[("$top", "5")],
            permissions: &[],
            asserted_requester: None,
        };
        self.put(policy, &Operation::Graph(graph), TOOL)
    }

    fn plain(&self, policy: &Policy) -> Decision {
        self.put(policy, &Operation::Plain, "delete")
    }
}

fn load(rules: &str) -> Result<Policy, String> {
    let facts = Facts {
        issuer: "https://broker.example".to_owned(),
        profiles: vec![
            ("reader".parse().unwrap(), "contoso".parse().unwrap()),
            ("mailer".parse().unwrap(), "contoso".parse().unwrap()),
        ],
        tools: vec![TOOL.to_owned(), "delete".to_owned()],
        ..Facts::default()
    };
    Policy::load("policy.toml", rules, None, &[], facts).map_err(|error| error.to_string())
}

/// One Graph rule on a person's messages.
fn graph_rule(effect: &str, when: &str) -> Policy {
    load(&format!(
        "[[rule]]\nid = \"r\"\neffect = \"{effect}\"\ntools = [\".*\"]\nwhen = {when:?}\n\
         graph = {{ profile = \"reader\", methods = [\"GET\", \"POST\"], paths = [\"/v1.0/users/{{user}}/messages\"] }}\n"
    ))
    .unwrap()
}

fn plain_rule(effect: &str, more: &str) -> Result<Policy, String> {
    load(&format!("[[rule]]\nid = \"r\"\neffect = \"{effect}\"\ntools = [\"delete\"]\n{more}\n"))
}

/// What one condition comes to for the question, by the effect of an allow rule.
fn holds(when: &str) -> bool {
    question().graph(&graph_rule("allow", when)).is_allow()
}

#[test]
fn a_condition_sees_claims_path_query_request_arguments_caller_and_time() {
    for when in [
        "path.user == claims.oid",
        "path.user.lowerAscii() == 'ada-oid'",
        "claims.level > 2 && 'it' in claims.tags",
        "has(claims.oid) && !has(claims.upn)",
        "'$top' in query && query['$top'] == '5'",
        "!request.write && request.method == 'GET' && request.version == 'v1.0'",
        "arguments.amount <= 5 && arguments.customer.region in ['eu', 'de']",
        "caller.subject == 'ada' && caller.issuer.startsWith('https://')",
        "now.getHours('Europe/Berlin') == 12",
        "now < timestamp('2027-01-01T00:00:00Z')",
        "claims.level == 3 ? true : false",
    ] {
        assert!(holds(when), "{when}");
    }
    for when in ["path.user == 'grace'", "claims.level < 3", "arguments.amount > 5", "false"] {
        assert!(!holds(when), "{when}");
    }
}

#[test]
fn the_policy_of_the_manual_loads() {
    load(include_str!("../../../../docs/examples/policy.toml")).unwrap();
}

#[test]
fn another_persons_mail_is_not_reached() {
    let policy = graph_rule("allow", "path.user == claims.oid");
    let other = Question { path: "/v1.0/users/grace-oid/messages", ..question() };
    assert!(!other.graph(&policy).is_allow());
}

#[test]
fn a_condition_that_fails_denies_and_says_so() {
    for (effect, expected) in
        [("allow", Effect::Deny), ("ask", Effect::Deny), ("deny", Effect::Deny)]
    {
        let decision = question().graph(&graph_rule(effect, "claims.missing == 'x'"));
        assert_eq!(decision.effect, expected, "{effect}");
        assert_eq!(decision.failed_conditions().count(), 1, "{effect}");
        assert!(!decision.can_step_up(), "{effect}");
    }
}

#[test]
fn a_deny_rule_that_fails_beats_an_allow_that_holds() {
    let policy = load(
        "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"delete\"]\n\
         [[rule]]\nid = \"d\"\neffect = \"deny\"\ntools = [\"delete\"]\nwhen = \"claims.missing == 1\"\n",
    );
    let decision = question().plain(&policy.unwrap());
    assert_eq!(decision.reason.to_string(), "policy.rule.deny.d");
}

#[test]
fn what_cannot_be_known_yet_hides_no_tool_and_opens_no_call() {
    let policy = plain_rule("allow", "when = \"arguments.amount < 3\"").unwrap();
    let listed = Question { arguments: None, ..question() };
    assert!(listed.plain(&policy).shows_the_tool());
    assert!(!question().plain(&policy).is_allow());
    let denying = plain_rule("deny", "when = \"arguments.amount > 3\"").unwrap();
    assert_eq!(listed.plain(&denying).evaluated[0].outcome, Outcome::Undecided);
}

#[test]
fn arguments_are_compared_by_their_path() {
    let policy =
        plain_rule("allow", "arguments = { \"customer.region\" = [\"eu\"], amount = [5] }");
    let policy = policy.unwrap();
    assert!(question().plain(&policy).is_allow());
    for arguments in [
        "{}",
        "{\"customer\":{\"region\":\"us\"},\"amount\":5}",
        "[]",
        "{\"customer.region\":\"eu\",\"amount\":5}",
    ] {
        let other = Question { arguments: Some(arguments.to_owned()), ..question() };
        assert!(!other.plain(&policy).is_allow(), "{arguments}");
    }
}

#[test]
fn a_number_is_the_same_however_it_is_written() {
    for (effect, expected) in
        [("allow", Effect::Allow), ("ask", Effect::Ask), ("deny", Effect::Deny)]
    {
        let listed = plain_rule(effect, "arguments = { amount = [7] }").unwrap();
        let computed = plain_rule(effect, "when = \"arguments.amount in [7]\"").unwrap();
        for number in ["7", "7.0", "7e0", "70e-1"] {
            let arguments = Some(format!("{{\"amount\":{number}}}"));
            let question = Question { arguments, ..question() };
            for policy in [&listed, &computed] {
                let decision = question.plain(policy);
                assert_eq!(decision.effect, expected, "{number}");
                assert!(decision.reason.to_string().starts_with("policy.rule."), "{number}");
            }
        }
    }
}

#[test]
fn arguments_that_are_too_large_or_malformed_are_no_way_around_a_deny_rule() {
    let policy = load(
        "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"delete\"]\n\
         [[rule]]\nid = \"d\"\neffect = \"deny\"\ntools = [\"delete\"]\nwhen = \"arguments.amount > 100\"\n",
    )
    .unwrap();
    assert!(question().plain(&policy).is_allow());
    let large = format!("{{\"amount\":1,\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    for arguments in [large, "{\"amount\":1".to_owned(), "{\"amount\":\"many\"}".to_owned()] {
        let other = Question { arguments: Some(arguments), ..question() };
        assert_eq!(other.plain(&policy).effect, Effect::Deny);
    }
}

#[test]
fn a_call_is_decided_alike_however_it_is_spelled() {
    let rule = "arguments = { amount = [1] }";
    let policy = plain_rule("allow", rule).unwrap();
    let long = "\\u0041".repeat(16 * 1024);
    for spelled in [
        format!("{{{}\"amount\":1}}", " ".repeat(70_000)),
        format!("{{\"amount\":1,\"x\":\"{long}\"}}"),
    ] {
        let padded = Question { arguments: Some(spelled), ..question() };
        assert!(padded.plain(&policy).is_allow());
    }
    // Each number is eighteen digits where it is carried out.
    let grows = format!("{{\"amount\":1,\"x\":[{}1]}}", "9e15,".repeat(8 * 1024));
    let grows = Question { arguments: Some(grows), ..question() };
    assert_eq!(grows.plain(&policy).effect, Effect::Deny);
}

#[test]
fn groups_and_roles_that_the_issuer_left_out_are_no_way_around_a_deny_rule() {
    let deny = "[[rule]]\nid = \"d\"\neffect = \"deny\"\ntools = [\"delete\"]\n";
    let allow = "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"delete\"]\n";
    for (denying, of_roles) in [
        ("principals = { groups = [\"x\"] }", false),
        ("when = \"'x' in caller.groups\"", false),
        ("principals = { roles = [\"x\"] }", true),
        ("when = \"'x' in caller.roles\"", true),
        ("when = \"!('x' in claims.tags) && 'x' in claims.roles\"", true),
    ] {
        let policy = load(&format!("{allow}{deny}{denying}\n")).unwrap();
        let mut question = question();
        question.claims.insert("roles".into(), json!([]));
        assert!(question.plain(&policy).is_allow(), "{denying}");
        let groups = Question { groups_incomplete: true, ..question };
        assert_eq!(groups.plain(&policy).is_allow(), of_roles, "{denying}");
        let roles = Question { roles_incomplete: true, groups_incomplete: false, ..groups };
        assert_eq!(roles.plain(&policy).is_allow(), !of_roles, "{denying}");
    }
}

#[test]
fn a_step_of_the_clock_opens_no_window() {
    let office = "now.getHours('Europe/Berlin') >= 8 && now.getHours('Europe/Berlin') < 18";
    let at = |wall: i64, steady: i64| {
        let hours = |hours| Timestamp::from_unix_seconds(noon().unix_seconds() + hours * 3600);
        Question { now: Moment { wall: hours(wall), steady: hours(steady) }, ..question() }
    };
    let (allow, deny) =
        (graph_rule("allow", office), plain_rule("deny", &format!("when = {office:?}")));
    let allow_all = "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"delete\"]\n[[rule]]\nid = \"d\"\neffect = \"deny\"\ntools = [\"delete\"]\n";
    let deny_window = load(&format!("{allow_all}when = {office:?}\n")).unwrap();
    assert!(deny.is_ok());
    assert!(at(0, 0).graph(&allow).is_allow());
    assert!(!at(0, 12).graph(&allow).is_allow(), "stepped into the window");
    assert!(!at(12, 0).graph(&allow).is_allow(), "stepped out of it");
    assert!(at(12, 12).plain(&deny_window).is_allow());
    assert!(!at(12, 0).plain(&deny_window).is_allow(), "stepped out of a forbidden window");
    let ask = graph_rule("ask", office);
    assert_eq!(at(0, 12).graph(&ask).effect, Effect::Deny);
}

#[test]
fn a_login_is_not_young_again_when_the_clock_is_set_back() {
    let policy = plain_rule("allow", "principals = { max_auth_age_seconds = 300 }").unwrap();
    let login = |ago: i64| {
        let mut question = question();
        question.claims.insert("auth_time".into(), json!(noon().unix_seconds() - ago));
        question
    };
    assert!(login(200).plain(&policy).is_allow());
    assert!(!login(400).plain(&policy).is_allow() && !login(-4000).plain(&policy).is_allow());
    assert!(!question().plain(&policy).is_allow(), "no auth_time");
    let mut back = login(400);
    back.now.wall = Timestamp::from_unix_seconds(noon().unix_seconds() - 300);
    assert!(!back.plain(&policy).is_allow());
}

#[test]
fn assurance_is_one_of_those_named() {
    let policy = plain_rule("allow", "principals = { assurance = [\"mfa\"] }").unwrap();
    assert!(!question().plain(&policy).is_allow());
    let mut strong = question();
    strong.claims.insert("acr".into(), json!("mfa"));
    assert!(strong.plain(&policy).is_allow());
}

// RFC 9470 §3
#[test]
fn a_refusal_says_which_login_would_open_it() {
    let principals = "principals = { assurance = [\"phr\", \"mfa\"], max_auth_age_seconds = 300 }";
    let policy = plain_rule("allow", principals).unwrap();
    let assurance = ["phr", "mfa"].map(str::to_owned).to_vec();
    let wanted = LoginNeeded { assurance, max_age_seconds: Some(300) };
    let mut asked = question();
    for (acr, ago) in [(None, 400), (Some("mfa"), 400), (Some("pwd"), 10), (None, 10)] {
        asked.claims.insert("auth_time".into(), json!(noon().unix_seconds() - ago));
        asked.claims.insert("acr".into(), json!(acr));
        let refused = asked.plain(&policy);
        assert_eq!(refused.login.as_ref(), Some(&wanted), "{acr:?} {ago}");
        assert!(refused.is_challenge() && !refused.can_step_up());
    }
    asked.claims.insert("acr".into(), json!("mfa"));
    let opened = asked.plain(&policy);
    assert_eq!((opened.is_allow(), opened.login), (true, None));
}

// RFC 9470 §3
#[test]
fn no_login_is_asked_for_that_would_open_nothing() {
    let strong = "principals = { assurance = [\"mfa\"]";
    let of = |more: &str| plain_rule("allow", &format!("{strong}{more}")).unwrap();
    assert!(question().plain(&of(" }")).needs_login());
    assert!(question().plain(&of(" }\nscopes = [\"a\"]")).needs_login(), "and then scopes");
    for more in [
        ", groups = [\"others\"] }",
        " }\nwhen = \"claims.level > 3\"",
        ", clients = [\"other\"] }",
    ] {
        assert_eq!(question().plain(&of(more)).login, None, "{more}");
    }
    let rule = |id: &str, effect: &str, more: &str| {
        format!("[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = [\"delete\"]\n{more}\n")
    };
    let strong = format!("{strong} }}");
    let denied = load(&(rule("a", "allow", &strong) + &rule("d", "deny", ""))).unwrap();
    assert_eq!(question().plain(&denied).login, None);
    let scoped =
        load(&(rule("a", "allow", &strong) + &rule("s", "allow", "scopes = [\"a\"]"))).unwrap();
    let decision = question().plain(&scoped);
    assert!(decision.can_step_up() && decision.login.is_none(), "scopes are asked for first");
}

#[test]
fn a_rule_that_asks_is_not_dodged_by_naming_another_permission() {
    let policy = load(
        "[[rule]]\nid = \"all\"\neffect = \"allow\"\ntools = [\".*\"]\ngraph = { profile = \"reader\", methods = [\"GET\"], paths = [\"/v1.0/users/{u}/messages\"], permissions = [\"A\"] }\n\
         [[rule]]\nid = \"ask\"\neffect = \"ask\"\ntools = [\".*\"]\ngraph = { profile = \"reader\", methods = [\"GET\"], paths = [\"/v1.0/users/{u}/messages\"], permissions = [\"B\"] }\n",
    )
    .unwrap();
    let segments = ["users", "x", "messages"].map(str::to_owned);
    let permissions = ["A".parse().unwrap()];
    let graph = GraphAsk {
        tenant: None,
        resource: None,
        method: "GET",
        version: "v1.0",
        segments: &segments,
        query: &[],
        permissions: &permissions,
        asserted_requester: None,
    };
    let decision = question().put(&policy, &Operation::Graph(graph), TOOL);
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(question().graph(&policy).effect, Effect::Ask);
}
