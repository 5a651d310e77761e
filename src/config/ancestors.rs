//! Variables of earlier products that are not read: `broker check` names the setting that took their place.

use super::environment::Environment;
use super::finding::{Finding, FindingCode, Findings, Severity};

const ANCESTORS: [(&str, &str); 26] = [
    ("MCP_HOST", "server.listen"),
    ("MCP_PORT", "server.listen"),
    ("MCP_SERVER_URL", "server.public_url"),
    ("MCP_PUBLIC_URL", "server.public_url"),
    ("MCP_RESOURCE_URL", "server.public_url"),
    ("MCP_ISSUER_URL", "server.public_url"),
    ("ISSUER_URL", "server.public_url"),
    ("MCP_ALLOWED_ORIGINS", "server.allowed_origins"),
    ("MCP_LOG_LEVEL", "telemetry.log_level"),
    ("MCP_DOCUMENTS_DIR", "documents.dir"),
    ("MCP_JWT_SECRET_KEY", "resource_server.issuer.secret = \"env:MCP_JWT_SECRET_KEY\""),
    ("MCP_JWT_ALGORITHM", "resource_server.issuer.algorithms"),
    ("MCP_JWT_ISSUER", "resource_server.issuer.issuer"),
    ("MCP_JWT_AUDIENCE", "resource_server.issuer.audiences"),
    ("JWT_SECRET_KEY", "resource_server.issuer.secret = \"env:JWT_SECRET_KEY\""),
    ("JWT_ALGORITHM", "resource_server.issuer.algorithms"),
    ("JWT_ISSUER", "resource_server.issuer.issuer"),
    ("JWT_AUDIENCE", "resource_server.issuer.audiences"),
    ("JWKS_URI", "resource_server.issuer.jwks_uri"),
    ("OAUTH_CLIENT_ID", "authorization_server.identity_provider.client_id"),
    (
        "OAUTH_CLIENT_SECRET",
        "authorization_server.identity_provider.client_secret = \"env:OAUTH_CLIENT_SECRET\"",
    ),
    ("OAUTH_ISSUER", "resource_server.issuer.issuer"),
    ("OAUTH_AUTH_ENDPOINT", "authorization_server.identity_provider.authorization_endpoint"),
    ("OAUTH_TOKEN_ENDPOINT", "authorization_server.identity_provider.token_endpoint"),
    ("SUPABASE_URL", "store.url"),
    ("DATABASE_URL", "store.url"),
];

/// What has no setting, and why.
const NOT_NEEDED: [(&str, &str); 3] = [
    (
        "JWT_SECRET",
        "nothing needs it: the broker makes keys of its own; where tokens that it signed are to count, resource_server.issuer.secret = \"env:JWT_SECRET\"",
    ),
    ("SUPABASE_SERVICE_KEY", "nothing needs it: the database and its password are in store.url"),
    (
        "OAUTH_REDIRECT_URI",
        "nothing needs it: identity providers are to know <server.public_url>/login/callback/ID",
    ),
];

/// Names each one that is set. `referenced` are the names that settings read through `env:`.
pub(super) fn check(environment: &Environment, referenced: &[String], findings: &mut Findings) {
    let moved = ANCESTORS.map(|(name, setting)| (name, format!("the setting is {setting} now")));
    let gone = NOT_NEEDED.map(|(name, why)| (name, why.to_owned()));
    for (name, hint) in moved.into_iter().chain(gone) {
        let used = referenced.iter().any(|reference| reference == name);
        if environment.get(name).is_some() && !used {
            let finding = Finding::about(name, FindingCode::NotRead, "is set and is not read");
            findings.add(Finding { severity: Severity::Warning, ..finding }.hint(hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/migration.md");
    /// Other programs have them, too: who has one of them set need not mean us.
    const TOO_COMMON: [&str; 4] = ["ENVIRONMENT", "AUTH_SERVER", "SERVER_ID", "API_KEY"];

    /// What is in backticks, outside of them every other piece.
    fn spans(cell: &str) -> impl Iterator<Item = &str> {
        cell.split('`').skip(1).step_by(2)
    }

    /// The variables in the left column of the page's tables, with what stands beside them.
    fn rows() -> Vec<(&'static str, &'static str)> {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let variable = |span: &&str| {
            let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            span.contains('_') && span.bytes().all(legal)
        };
        let named = |(left, right)| {
            spans(left).filter(variable).map(move |name| (name, right)).collect::<Vec<_>>()
        };
        let all = rows.flat_map(named);
        all.filter(|(name, _)| !name.starts_with("MCP_AUTH_BROKER_") && !name.starts_with("OP_"))
            .filter(|(name, _)| !TOO_COMMON.contains(name))
            .collect()
    }

    #[test]
    fn the_page_about_moving_and_the_check_say_the_same() {
        let rows = rows();
        assert!(rows.len() > 10, "{rows:?}");
        for (name, beside) in rows {
            if NOT_NEEDED.iter().any(|(known, _)| *known == name) {
                assert!(beside.contains("not needed") || beside.contains("store.url"), "{name}");
                continue;
            }
            let known = ANCESTORS.iter().find(|(known, _)| *known == name);
            let (_, setting) = known.unwrap_or_else(|| panic!("{name} is not checked for"));
            let key = setting.split_once(" = ").map_or(*setting, |(key, _)| key);
            let (table, last) = key.rsplit_once('.').unwrap();
            let told = beside.contains(key)
                || beside.contains(last) && (beside.contains(table) || beside.contains("else `"));
            assert!(told, "{name}: the check says {key}, the page {beside}");
        }
    }
}
