//! What an ID-JAG changes about its person, and when.

use serde_json::{Value, json};

use super::assertions::{ISSUER, Trusting};
use super::support::refused;

// RFC 7523 §3 — N86
#[tokio::test]
async fn an_assertion_that_gives_nothing_changes_nobody() {
    let trusting = Trusting::new().await;
    let site = &trusting.site;
    let of = |jti: &str, groups: Value| {
        trusting.id_jag(|claims| {
            claims["jti"] = json!(jti);
            claims["groups"] = groups;
        })
    };
    let known = || site.store.find_user_of_identity(ISSUER, "ada-at-idp");
    site.policy.deny("graph:read mail:read");
    let nothing = trusting.brings(&of("j0", json!(["admins"])), &[]).await;
    assert_eq!(nothing.error(), refused(400, "invalid_scope"));
    assert!(known().await.unwrap().is_none(), "nobody is made for an assertion in vain");
    site.policy.deny("");
    let (first, left) = (of("j1", json!(["admins"])), of("j2", json!([])));
    assert_eq!(trusting.brings(&first, &[]).await.claims()["groups"], json!(["admins"]));
    assert_eq!(trusting.brings(&left, &[]).await.status, 200);
    assert_eq!(trusting.brings(&first, &[]).await.error(), refused(400, "invalid_grant"));
    assert!(known().await.unwrap().unwrap().groups.is_empty(), "they have left the group");
}
