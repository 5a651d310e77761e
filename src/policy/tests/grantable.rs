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
