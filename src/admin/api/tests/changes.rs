//! What a change may not do, and that what is asked is on record.

use crate::admin::{AdminError, ClientChange, ServerChange};

use super::{Site, filled};

#[test]
fn whatever_is_asked_of_a_route_is_recorded_with_its_method() {
    for (path, operation) in &super::super::described().operations {
        let method = operation.method.to_ascii_uppercase();
        assert!(super::super::access::METHODS.contains(&method.as_str()), "{method} {path}");
    }
}

// RFC 7591 §2
#[tokio::test]
async fn taking_every_scope_away_is_no_change_but_a_reason_to_disable() {
    let site = Site::new().await;
    let at = filled(&site).await;
    let (operations, actor) = (&site.operations, site.actor());
    let client = at("/clients/{id}").trim_start_matches("/clients/").parse().unwrap();
    for scope in ["", " "] {
        let scope = Some(scope.to_owned());
        let change = ClientChange { scope: scope.clone(), ..Default::default() };
        let refused = operations.change_client(&actor, &client, change).await;
        assert!(matches!(refused, Err(AdminError::Invalid { field: "scope", .. })));
        let change = ServerChange { scope, ..Default::default() };
        let refused = operations.change_server(&actor, "weather", change).await;
        assert!(matches!(refused, Err(AdminError::Invalid { field: "scope", .. })));
    }
}
