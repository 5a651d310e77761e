//! Variables of earlier products that are not read: `broker check` names the setting that took their place.

use super::environment::Environment;
use super::finding::{Finding, FindingCode, Findings, Severity};

const ANCESTORS: [(&str, &str); 24] = [
    ("MCP_HOST", "server.listen"),
    ("MCP_PORT", "server.listen"),
    ("MCP_SERVER_URL", "server.public_url"),
    ("MCP_PUBLIC_URL", "server.public_url"),
    ("MCP_RESOURCE_URL", "server.public_url"),
    ("MCP_ISSUER_URL", "server.public_url"),
    ("MCP_ALLOWED_ORIGINS", "server.allowed_origins"),
    ("MCP_LOG_LEVEL", "telemetry.log_level"),
    ("MCP_DOCUMENTS_DIR", "documents.dir"),
    ("MCP_JWT_SECRET_KEY", "resource_server.issuer.secret = \"env:MCP_JWT_SECRET_KEY\""),
    ("MCP_JWT_ALGORITHM", "resource_server.issuer.algorithms"),
    ("MCP_JWT_ISSUER", "resource_server.issuer.issuer"),
    ("MCP_JWT_AUDIENCE", "resource_server.issuer.audiences"),
    ("JWT_SECRET", "resource_server.issuer.secret = \"env:JWT_SECRET\""),
    ("JWT_SECRET_KEY", "resource_server.issuer.secret = \"env:JWT_SECRET_KEY\""),
    ("JWT_ALGORITHM", "resource_server.issuer.algorithms"),
    ("JWT_ISSUER", "resource_server.issuer.issuer"),
    ("JWT_AUDIENCE", "resource_server.issuer.audiences"),
    ("JWKS_URI", "resource_server.issuer.jwks_uri"),
    ("OAUTH_CLIENT_ID", "authorization_server.client.client_id"),
    ("OAUTH_CLIENT_SECRET", "authorization_server.client.secret = \"env:OAUTH_CLIENT_SECRET\""),
    ("OAUTH_ISSUER", "resource_server.issuer.issuer"),
    ("OAUTH_REDIRECT_URI", "authorization_server.client.redirect_uris"),
    ("DATABASE_URL", "store.url"),
];

/// Names each one that is set. `referenced` are the names that settings read through `env:`.
pub(super) fn check(environment: &Environment, referenced: &[String], findings: &mut Findings) {
    for (name, setting) in ANCESTORS {
        let used = referenced.iter().any(|reference| reference == name);
        if environment.get(name).is_some() && !used {
            let finding = Finding::about(name, FindingCode::NotRead, "is set and is not read");
            let hint = format!("the setting is {setting} now");
            findings.add(Finding { severity: Severity::Warning, ..finding }.hint(hint));
        }
    }
}
