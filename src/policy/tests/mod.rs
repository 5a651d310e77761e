//! What policy promises, shown on small rule files.

mod beside;
mod faults;
mod grantable;
mod operations;
mod properties;

use crate::code::Code;
use crate::id::{ClientId, Issuer, Permission, Subject, TenantId};
use crate::scope::Scope;

use super::{
    Arguments, Ask, Decision, Effect, Facts, GraphAsk, Moment, Operation, Policy, PolicyError,
    Reach, Who,
};

const EXECUTE: &str = "auth.graph.operation.execute.v1";
const LIST: &str = "auth.graph.operations.list.v1";

fn facts() -> Facts {
    Facts {
        issuer: "https://broker.example".to_owned(),
        profiles: vec![("reader".parse().unwrap(), "contoso".parse().unwrap())],
        resource: "https://graph.microsoft.com".to_owned(),
        allowed_resources: vec!["https://graph.microsoft.com".to_owned()],
        allowed_permissions: None,
        tools: vec![EXECUTE.to_owned(), LIST.to_owned(), "delete".to_owned()],
        reading_tools: vec![LIST.to_owned()],
    }
}

fn load(text: &str) -> Result<Policy, PolicyError> {
    Policy::load("policy.toml", text, None, &[], facts())
}

fn policy(rules: &str) -> Policy {
    load(&format!("version = \"t\"\n{rules}")).unwrap()
}

/// A caller that owns what its `Who` borrows.
struct Caller {
    issuer: Issuer,
    subject: Option<Subject>,
    client: Option<ClientId>,
    scopes: Scope,
    groups: Vec<std::sync::Arc<str>>,
}

fn caller(scopes: &str) -> Caller {
    Caller {
        issuer: "https://broker.example".parse().unwrap(),
        subject: Some("ada".parse().unwrap()),
        client: Some("agent".parse().unwrap()),
        scopes: scopes.parse().unwrap(),
        groups: vec!["helpdesk".into()],
    }
}

impl Caller {
    fn who(&self) -> Who<'_> {
        Who {
            issuer: &self.issuer,
            subject: self.subject.as_ref(),
            client_id: self.client.as_ref(),
            scopes: &self.scopes,
            groups: &self.groups,
            groups_incomplete: false,
            roles: &[],
            roles_incomplete: false,
            claims: None,
            told: None,
        }
    }

    fn ask<'a>(&'a self, tool: &'a str, operation: Operation<'a>) -> Ask<'a> {
        let (arguments, now) = (Arguments::Unknown, Moment::default());
        Ask { who: self.who(), tool, operation, arguments, now }
    }

    fn plain(&self, policy: &Policy, tool: &str) -> Decision {
        policy.decide(&self.ask(tool, Operation::Plain))
    }

    fn visible(&self, policy: &Policy) -> bool {
        let operation = Operation::AnyGraph;
        policy.decide(&self.ask(EXECUTE, operation)).shows_the_tool()
    }

    fn graph(&self, policy: &Policy, method: &str, path: &str) -> Decision {
        self.graph_ask(policy, method, path, &Said::default())
    }

    fn graph_ask(&self, policy: &Policy, method: &str, path: &str, said: &Said) -> Decision {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut parts = path.split('/').skip(1).map(str::to_owned);
        let version = parts.next().unwrap_or_default();
        let segments: Vec<String> = parts.collect();
        let names = query.split('&').filter(|name| !name.is_empty());
        let query: Vec<_> = names.map(|name| (name, "")).collect();
        let graph = GraphAsk {
            tenant: said.tenant.as_ref(),
            resource: said.resource,
            method,
            version: &version,
            segments: &segments,
            query: &query,
            permissions: &said.permissions,
            asserted_requester: said.requester.as_ref(),
        };
        policy.decide(&self.ask(EXECUTE, Operation::Graph(graph)))
    }
}

/// What a call says beside its method and path.
#[derive(Default)]
struct Said {
    tenant: Option<TenantId>,
    resource: Option<&'static str>,
    permissions: Vec<Permission>,
    requester: Option<Subject>,
}

const READ: &str = r#"
[[rule]]
id = "users.read"
effect = "allow"
tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
scopes = ["graph:read"]
graph = { methods = ["GET"], paths = ["/v1.0/users/{id}", "/v1.0/users"], permissions = ["User.Read.All"] }
"#;

const WRITE: &str = r#"
[[rule]]
id = "users.write"
effect = "allow"
tools = ["auth\\..*"]
scopes = ["graph:write", "mfa"]
graph = { methods = ["DELETE"], paths = ["/v1.0/users/{id}"], permissions = ["User.ReadWrite.All"] }
"#;

#[test]
fn without_a_rule_everything_is_denied() {
    let decision = caller("graph:* public:read").plain(&policy(""), "get_public_info");
    assert_eq!(decision.reason.to_string(), "policy.rule.deny.default");
    assert_eq!(decision.code, Some(Code::PolicyDenied));
    assert!(!decision.can_step_up());
}

#[test]
fn an_allowed_operation_names_its_rule_and_permissions() {
    let decision = caller("graph:read").graph(&policy(READ), "GET", "/v1.0/users/ada?$select");
    assert!(decision.is_allow());
    assert_eq!(decision.reason.to_string(), "policy.rule.allow.users.read");
    assert_eq!(decision.scopes_evaluated, ["User.Read.All".parse().unwrap()]);
    assert_eq!(decision.tenant_id, Some("contoso".parse().unwrap()));
}

#[test]
fn a_broad_scope_implies_the_narrow_one_a_rule_asks_for() {
    assert!(caller("graph:*").graph(&policy(READ), "GET", "/v1.0/users").is_allow());
}

#[test]
fn a_missing_scope_is_told_only_where_it_would_help() {
    let policy = policy(&format!("{READ}{WRITE}"));
    let refused = caller("graph:read").graph(&policy, "DELETE", "/v1.0/users/ada");
    assert_eq!(refused.missing_scopes.to_string(), "graph:write mfa");
    assert!(caller("graph:write mfa").graph(&policy, "DELETE", "/v1.0/users/ada").is_allow());
    // No rule allows this to anybody, so no scope is named.
    assert!(!caller("").graph(&policy, "DELETE", "/v1.0/groups/1").can_step_up());
}

#[test]
fn a_deny_rule_beats_every_allow_and_is_not_answered_with_a_step_up() {
    let deny = r#"
        [[rule]]
        id = "freeze"
        effect = "deny"
        tools = [".*"]
    "#;
    let policy = policy(&format!("{READ}{deny}"));
    for scopes in ["graph:read", ""] {
        let decision = caller(scopes).graph(&policy, "GET", "/v1.0/users");
        assert_eq!(decision.reason.to_string(), "policy.rule.deny.freeze", "{scopes}");
        assert!(!decision.can_step_up());
    }
    assert!(!caller("graph:read").visible(&policy));
}

#[test]
fn a_deny_rule_that_the_step_up_would_trigger_is_not_a_step_up() {
    let deny = r#"
        [[rule]]
        id = "no-writers"
        effect = "deny"
        tools = [".*"]
        scopes = ["mfa"]
    "#;
    let decision =
        caller("").graph(&policy(&format!("{WRITE}{deny}")), "DELETE", "/v1.0/users/ada");
    assert!(!decision.can_step_up(), "{decision:?}");
}

#[test]
fn a_pattern_matches_the_whole_name_of_a_tool() {
    let policy = policy("[[rule]]\nid = \"d\"\neffect = \"allow\"\ntools = [\"delete|drop\"]\n");
    assert!(caller("").plain(&policy, "delete").is_allow());
    for other in ["delete_all", "undelete", "dropped", "Delete"] {
        assert!(!caller("").plain(&policy, other).is_allow(), "{other}");
    }
}

#[test]
fn a_rule_for_a_tool_opens_no_graph_operation() {
    let policy = policy("[[rule]]\nid = \"all\"\neffect = \"allow\"\ntools = [\".*\"]\n");
    assert!(!caller("").graph(&policy, "GET", "/v1.0/users").is_allow());
    assert!(!caller("").visible(&policy));
}

#[test]
fn expand_and_unlisted_methods_are_refused_unless_the_rule_names_them() {
    let policy = policy(READ);
    for (method, path) in [
        ("GET", "/v1.0/users?$expand"),
        ("GET", "/v1.0/users?expand"),
        ("GET", "/v1.0/users?$select&custom"),
        ("POST", "/v1.0/users"),
        ("GET", "/beta/users"),
        ("GET", "/v1.0/me"),
    ] {
        assert!(!caller("graph:read").graph(&policy, method, path).is_allow(), "{method} {path}");
    }
}

#[test]
fn a_permission_outside_the_rule_is_an_invalid_scope() {
    let said = Said { permissions: vec!["Mail.Read".parse().unwrap()], ..Said::default() };
    let decision = caller("graph:read").graph_ask(&policy(READ), "GET", "/v1.0/users", &said);
    assert_eq!(decision.code, Some(Code::PolicyInvalidScope));
    assert_eq!(decision.reason.to_string(), "policy.rule.deny.scope.not_permitted");
}

#[test]
fn a_permission_outside_the_configured_set_is_an_invalid_scope() {
    let facts = Facts { allowed_permissions: Some(vec!["Mail.Read".parse().unwrap()]), ..facts() };
    let policy = Policy::load("policy.toml", READ, None, &[], facts).unwrap();
    let decision = caller("graph:read").graph(&policy, "GET", "/v1.0/users");
    assert_eq!(decision.code, Some(Code::PolicyInvalidScope));
}

#[test]
fn an_unknown_tenant_or_resource_is_not_permitted() {
    let tenant = Said { tenant: Some("fabrikam".parse().unwrap()), ..Said::default() };
    let resource = Said { resource: Some("https://evil.example"), ..Said::default() };
    for said in [tenant, resource] {
        let decision = caller("graph:read").graph_ask(&policy(READ), "GET", "/v1.0/users", &said);
        assert_eq!(decision.reason.to_string(), "policy.rule.deny.provider.not_permitted");
    }
}

#[test]
fn asserting_another_requester_is_refused_unless_the_client_is_trusted() {
    let ask = |policy: &Policy, who: &str| {
        let said = Said { requester: Some(who.parse().unwrap()), ..Said::default() };
        caller("graph:read").graph_ask(policy, "GET", "/v1.0/users", &said)
    };
    let refused = ask(&policy(READ), "grace");
    assert_eq!(refused.reason.to_string(), "policy.rule.deny.identity.untrusted");
    assert!(ask(&policy(READ), "ada").is_allow());
    let trusting = load(&format!("may_assert_requester = [\"agent\"]\n{READ}")).unwrap();
    assert!(ask(&trusting, "grace").is_allow());
}

/// Names of clients mean something within their issuer alone.
#[test]
fn a_client_of_another_issuer_is_not_trusted_for_its_name() {
    let foreign =
        Caller { issuer: "https://other.example".parse().unwrap(), ..caller("graph:read") };
    let said = || Said { requester: Some("grace".parse().unwrap()), ..Said::default() };
    let ask = |trusted: &str| {
        let policy = load(&format!("may_assert_requester = [{trusted}]\n{READ}")).unwrap();
        let of =
            |caller: &Caller| caller.graph_ask(&policy, "GET", "/v1.0/users", &said()).is_allow();
        (of(&caller("graph:read")), of(&foreign))
    };
    assert_eq!(ask("\"agent\""), (true, false));
    let other = "{ client = \"agent\", issuer = \"https://other.example\" }";
    assert_eq!(ask(other), (false, true));
    assert_eq!(ask(&format!("\"agent\", {other}")), (true, true));
    for wrong in ["7", "{ client = \"agent\" }", "{ client = \"agent\", issuer = \"i\", more = 1 }"]
    {
        let told =
            load(&format!("may_assert_requester = [{wrong}]\n{READ}")).unwrap_err().to_string();
        assert!(told.contains("may_assert_requester") && told.contains("hint:"), "{told}");
    }
}

#[test]
fn a_token_that_names_nobody_is_refused() {
    let nobody = Caller { subject: None, ..caller("graph:read") };
    assert_eq!(
        nobody.graph(&policy(READ), "GET", "/v1.0/users").code,
        Some(Code::PolicyMissingIdentity)
    );
}

#[test]
fn an_ask_rule_beats_an_allow_and_never_gives_a_permit() {
    let ask = READ.replace("users.read", "users.ask").replace("\"allow\"", "\"ask\"");
    let decision =
        caller("graph:read").graph(&policy(&format!("{READ}{ask}")), "GET", "/v1.0/users");
    assert_eq!((decision.effect, decision.code), (Effect::Ask, Some(Code::PolicyApprovalRequired)));
}

#[test]
fn principals_restrict_a_rule_to_those_it_names() {
    let rule = |principals: &str| {
        format!(
            "[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"delete\"]\nprincipals = {principals}\n"
        )
    };
    for good in
        ["{ clients = [\"agent\"] }", "{ groups = [\"x\", \"helpdesk\"], subjects = [\"ada\"] }"]
    {
        assert!(caller("").plain(&policy(&rule(good)), "delete").is_allow(), "{good}");
    }
    for bad in [
        "{ clients = [] }",
        "{ groups = [\"x\"] }",
        "{ clients = [\"agent\"], roles = [\"admin\"] }",
    ] {
        assert!(!caller("").plain(&policy(&rule(bad)), "delete").is_allow(), "{bad}");
    }
}

/// A question about some operations that cannot be evaluated denies those, and leaves the others in the list.
#[test]
fn a_condition_that_fails_hides_no_operation_that_it_is_not_about() {
    let broken = READ
        .replace("users.read", "broken")
        .replace("\"allow\"", "\"ask\"")
        .replace("\"GET\"", "\"DELETE\"")
        + "\nwhen = \"claims.level > 3\"\n";
    let (policy, ada) = (policy(&format!("{READ}{broken}")), caller("graph:read"));
    let claims = serde_json::Map::new();
    let who = Who { claims: Some(&claims), ..ada.who() };
    let as_such = Ask { who, ..ada.ask(EXECUTE, Operation::AnyGraph) };
    let told = policy.decide(&as_such);
    assert!(told.is_allow(), "{told:?}");
    assert_eq!(told.failed_conditions().count(), 1, "it is on record all the same");
}
