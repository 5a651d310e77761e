//! `docs/errors.md` is what the codes say of themselves. `UPDATE_DOCS=1 cargo test` rewrites it.

use std::fmt::Write as _;

use mcp_auth_broker::code::Code;
use mcp_auth_broker::config::Environment;

const HEAD: &str = "# Error codes

Generated from `src/code.rs` by `UPDATE_DOCS=1 cargo test`; do not edit.

A tool that fails answers `isError: true` with this shape, as structured content and as text:

```json
{\"contract_version\": \"v0.1.0\", \"request_id\": \"…\", \"status\": \"error\",
 \"error\": {\"code\": \"policy.denied\", \"category\": \"policy\", \"message\": \"…\", \"retryable\": false,
           \"metadata\": {\"reason_code\": \"policy.rule.deny.default\", \"policy_version\": \"…\"}},
 \"redactions\": []}
```

The code is the contract: never renamed, never reused. The message is for people and may change. `metadata` holds what a
program can use: `detail`, `retry_after_ms`, `field`, `http_status`, `provider_request_id`, `least_permissions`.
`retryable` means that the same call, unchanged, may succeed later.

A call that lacks a scope of its token is refused before the tool: HTTP 403 with `insufficient_scope` (RFC 6750 §3.1).

| code | category | retryable | what happened | what to do |
|---|---|---|---|---|
";

const REASONS: &str = "
## Policy reason codes

| reason | when |
|---|---|
| `policy.rule.allow.<rule id>` | this rule allowed it |
| `policy.rule.deny.<rule id>` | this rule denied it |
| `policy.rule.ask.<rule id>` | this rule asks for a person's approval |
| `policy.rule.deny.scope.not_permitted` | token scopes are missing, or a Graph permission lies outside the allowed set |
| `policy.rule.deny.provider.not_permitted` | the tenant or resource is not a configured one |
| `policy.rule.deny.identity.untrusted` | the caller claimed to act for somebody else |
| `policy.rule.deny.default` | no rule allowed it |
";

#[test]
fn the_errors_page_is_current() {
    let mut page = HEAD.to_owned();
    for code in Code::ALL {
        let category = serde_json::to_value(code.category()).unwrap();
        let (category, retryable) =
            (category.as_str().unwrap(), if code.retryable() { "yes" } else { "no" });
        writeln!(
            page,
            "| `{code}` | {category} | {retryable} | {} | {} |",
            code.meaning(),
            code.remedy()
        )
        .unwrap();
    }
    page.push_str(REASONS);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    if Environment::capture().get("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        page,
        "run UPDATE_DOCS=1 cargo test"
    );
}
