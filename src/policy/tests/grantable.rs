//! Which scopes are worth granting to a person.

use super::*;

#[test]
fn only_scopes_that_open_something_to_this_person_are_worth_granting() {
    let policy = policy(
        r#"
        [[rule]]
        id = "helpdesk"
        effect = "allow"
        tools = ["delete"]
        scopes = ["tickets:write"]
        principals = { groups = ["helpdesk"] }
        [[rule]]
        id = "others"
        effect = "allow"
        tools = ["delete"]
        scopes = ["payroll:read"]
        principals = { groups = ["payroll"] }
        [[rule]]
        id = "nowhere"
        effect = "allow"
        tools = ["no_such_tool"]
        scopes = ["ghost:read"]
        "#,
    );
    let caller = caller("");
    let of_use = |wanted: &str| {
        let wanted = wanted.parse().unwrap();
        policy.grantable(&caller.who(), Reach::Own, &wanted, Moment::default()).to_string()
    };
    assert_eq!(of_use("tickets:write payroll:read ghost:read broker:admin"), "tickets:write");
    assert_eq!(of_use("tickets:*"), "tickets:*");
    assert_eq!(of_use("tickets:read"), "");
}

#[test]
fn a_scope_is_not_worth_granting_where_a_rule_denies_all_that_it_opens() {
    let policy = policy(
        r#"
        [[rule]]
        id = "all"
        effect = "allow"
        tools = ["delete"]
        scopes = ["tickets:write"]
        [[rule]]
        id = "not-helpdesk"
        effect = "deny"
        tools = ["delete"]
        principals = { groups = ["helpdesk"] }
        "#,
    );
    let wanted = "tickets:write".parse().unwrap();
    let granted = policy.grantable(&caller("").who(), Reach::Own, &wanted, Moment::default());
    assert!(granted.is_empty());
}

#[test]
fn scopes_of_a_server_are_worth_granting_for_that_server_alone() {
    let policy = policy(
        r#"
        [[rule]]
        id = "read"
        effect = "allow"
        tools = ["weather\\.get_.*"]
        scopes = ["weather:read"]
        [[rule]]
        id = "write"
        effect = "allow"
        tools = ["weather\\.delete_city"]
        scopes = ["weather:write"]
        [[rule]]
        id = "prompt"
        effect = "ask"
        tools = ["weather/prompts/.*"]
        scopes = ["weather:ask"]
        [[rule]]
        id = "frozen"
        effect = "deny"
        tools = ["weather\\.delete.*"]
        [[rule]]
        id = "all"
        effect = "allow"
        tools = [".*"]
        scopes = ["super:user"]
        "#,
    );
    let wanted = "weather:read weather:write weather:ask super:user".parse().unwrap();
    let caller = caller("");
    let at = |reach| policy.grantable(&caller.who(), reach, &wanted, Moment::default()).to_string();
    assert_eq!(at(Reach::Server("weather")), "super:user weather:ask weather:read");
    assert_eq!(at(Reach::Server("weath")), "super:user");
    assert_eq!(at(Reach::Own), "super:user");
    assert!(policy.names_server("weather") && !policy.names_server("weath"));
}
