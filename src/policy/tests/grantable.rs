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
        policy.grantable(&caller.who(), &wanted.parse().unwrap(), Moment::default()).to_string()
    };
    assert_eq!(of_use("tickets:write payroll:read ghost:read broker:admin"), "tickets:write");
    assert_eq!(of_use("tickets:*"), "tickets:*");
    assert_eq!(of_use("tickets:read"), "");
}

/// What servers behind us have is not known here: a person must be able to get what their rules ask for.
#[test]
fn scopes_for_what_servers_behind_us_have_are_worth_granting() {
    let policy = policy(
        r#"
        [[rule]]
        id = "one"
        effect = "allow"
        tools = ["weather\\.get"]
        scopes = ["weather:read"]
        [[rule]]
        id = "some"
        effect = "allow"
        tools = ["weather\\.(?:set_.*)"]
        scopes = ["weather:write"]
        [[rule]]
        id = "not-mine"
        effect = "allow"
        tools = ["weather\\.delete"]
        scopes = ["weather:admin"]
        principals = { groups = ["payroll"] }
        "#,
    );
    let wanted = "weather:read weather:write weather:admin ghost:read".parse().unwrap();
    let granted = policy.grantable(&caller("").who(), &wanted, Moment::default());
    assert_eq!(granted.to_string(), "weather:read weather:write");
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
    assert!(policy.grantable(&caller("").who(), &wanted, Moment::default()).is_empty());
}
