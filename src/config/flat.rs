//! The predecessor's flat names: each means a nested setting.

use serde_json::Value;

use super::finding::{Finding, FindingCode, Findings};
use super::key::Key;
use super::origin::Origin;
use super::schema;
use super::tree::{Node, Shape};
use super::variables::{self, Assignment};
use crate::secret_text::SecretText;

/// The contract this version speaks.
const CONTRACT_VERSION: &str = "v0.1.0";

/// A flat name and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flat {
    name: &'static str,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The same value under another name.
    Same(&'static str),
    /// Seconds of a setting in milliseconds.
    Seconds(&'static str),
    /// A key of the Graph profile `default`.
    Profile(&'static str),
    /// A comma list of Graph permissions: allowed, and granted by rules.
    Permissions,
    ContractVersion,
}

const FLAT: [Flat; 15] = [
    flat("MCP_AUTH_BROKER_ENV", Meaning::Same("environment")),
    flat("MCP_AUTH_BROKER_SERVICE_NAME", Meaning::Same("telemetry.service_name")),
    flat("MCP_AUTH_BROKER_CONTRACT_VERSION", Meaning::ContractVersion),
    flat("MCP_AUTH_BROKER_POLICY_VERSION", Meaning::Same("policy.version")),
    flat("MCP_AUTH_BROKER_DEFAULT_TIMEOUT_MS", Meaning::Same("graph.timeout_ms")),
    flat("MCP_AUTH_BROKER_ALLOWED_SCOPES", Meaning::Permissions),
    flat("MCP_AUTH_BROKER_ALLOWED_GRAPH_RESOURCES", Meaning::Same("graph.allowed_resources")),
    flat("MCP_AUTH_BROKER_GRAPH_CLIENT_ID", Meaning::Profile("client_id")),
    flat("MCP_AUTH_BROKER_GRAPH_TENANT_ID", Meaning::Profile("tenant_id")),
    flat("MCP_AUTH_BROKER_GRAPH_SECRET_REF", Meaning::Profile("credential.client_secret")),
    flat("MCP_AUTH_BROKER_SECRET_PROVIDER", Meaning::Same("secrets.provider")),
    flat("MCP_AUTH_BROKER_TOKEN_CACHE_SKEW_SECONDS", Meaning::Same("graph.token_skew_seconds")),
    flat("MCP_AUTH_BROKER_TOKEN_MAX_TTL_SECONDS", Meaning::Same("graph.token_max_ttl_seconds")),
    flat(
        "MCP_AUTH_BROKER_TOKEN_PROVIDER_TIMEOUT_SECONDS",
        Meaning::Seconds("graph.token_timeout_ms"),
    ),
    flat("OP_SERVICE_ACCOUNT_TOKEN", Meaning::Same("secrets.onepassword.service_account_token")),
];

const fn flat(name: &'static str, meaning: Meaning) -> Flat {
    Flat { name, meaning }
}

pub(super) fn by_name(name: &str) -> Option<Flat> {
    FLAT.iter().find(|flat| flat.name == name).copied()
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FLAT.iter().map(|flat| flat.name)
}

/// The flat name that sets this key of a Graph profile, or what is in it.
pub(super) fn profile_setting(key: &Key) -> Option<&'static str> {
    let key = key.to_string();
    let name = key.strip_prefix("graph.profile[")?.split_once("].")?.1;
    let sets = |flat: &&Flat| match flat.meaning {
        Meaning::Profile(means) => means.split('.').next() == name.split('.').next(),
        Meaning::Same(_)
        | Meaning::Seconds(_)
        | Meaning::Permissions
        | Meaning::ContractVersion => false,
    };
    FLAT.iter().find(sets).map(|flat| flat.name)
}

/// What a flat name means, for the reference.
pub(super) fn meaning(name: &str) -> String {
    match by_name(name).map(|flat| flat.meaning) {
        Some(Meaning::Same(key)) => format!("`{key}`"),
        Some(Meaning::Seconds(key)) => format!("`{key}`, in seconds"),
        Some(Meaning::Profile(key)) => format!("`graph.profile.{key}` of the profile `default`"),
        Some(Meaning::Permissions) => "`graph.allowed_permissions`, and a policy rule for each over the built-in catalogue; `User.Read` is read as \
             `User.Read.All` (`/users` and `/users/{id}` alone), the default where `MCP_AUTH_BROKER_GRAPH_CLIENT_ID` and no `policy.file` is set"
            .to_owned(),
        Some(Meaning::ContractVersion) => format!("checked: `{CONTRACT_VERSION}` is the only one"),
        None => String::new(),
    }
}

/// What the flat names set, ready to be laid over the tree.
#[derive(Default)]
pub(super) struct FlatSettings {
    pub(super) assignments: Vec<Assignment>,
    /// `MCP_AUTH_BROKER_ALLOWED_SCOPES`; `None` where it is not set.
    pub(super) permissions: Option<Vec<String>>,
    /// Whether the predecessor's Graph app is configured.
    pub(super) graph_app: bool,
}

/// Reads the flat names. `below` is what files set: the profile named `default` in it is the one they mean.
pub(super) fn read(
    flat: Vec<(Flat, SecretText, Origin)>,
    below: &Node,
    schema: &Value,
    findings: &mut Findings,
) -> FlatSettings {
    let mut settings = FlatSettings::default();
    let profile = profile(below);
    for (name, text, origin) in flat {
        let (key, node) = match name.meaning {
            Meaning::ContractVersion => {
                contract_version(name.name, text.expose(), findings);
                continue;
            }
            Meaning::Same(key) => {
                let key = Key::dotted(key);
                let node = variables::coerce(text.expose(), schema::at(schema, &key), &origin);
                (key, node)
            }
            Meaning::Seconds(key) => {
                (Key::dotted(key), Node::new(milliseconds(text.expose()), origin))
            }
            Meaning::Profile(key) => {
                settings.graph_app = true;
                let key = Key::dotted(&format!("graph.profile.{profile}.{key}"));
                (key, Node::new(Shape::Text(text), origin))
            }
            Meaning::Permissions => {
                let names = permissions(text.expose());
                let node = Node::new(variables::list(&names.join(","), &origin), origin);
                settings.permissions = Some(names);
                (Key::dotted("graph.allowed_permissions"), node)
            }
        };
        settings.assignments.push(Assignment { key, node });
    }
    settings
}

/// The place of the profile named `default`, which is also what one without a name is called.
fn profile(below: &Node) -> usize {
    let Some(Node { value: Shape::Array(profiles), .. }) = below.get(&Key::dotted("graph.profile"))
    else {
        return 0;
    };
    let is_default = |profile: &Node| match profile.get(&Key::dotted("name")) {
        Some(Node { value: Shape::Text(name), .. }) => name.expose() == "default",
        _ => true,
    };
    profiles.iter().position(is_default).unwrap_or(profiles.len())
}

fn contract_version(name: &str, text: &str, findings: &mut Findings) {
    if text != CONTRACT_VERSION {
        let finding = Finding::about(
            name,
            FindingCode::NotAllowed,
            "is a contract this version does not speak",
        );
        findings.add(
            finding
                .allowed(CONTRACT_VERSION)
                .hint(format!("unset it, or set it to {CONTRACT_VERSION}")),
        );
    }
}

fn milliseconds(text: &str) -> Shape {
    match text.trim().parse::<u32>() {
        Ok(seconds) => Shape::Integer(i64::from(seconds) * 1000),
        Err(_) => Shape::text(text),
    }
}

/// The predecessor's `User.Read` is delegated, which an app cannot have; it meant reading users.
fn permissions(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| if name == "User.Read" { "User.Read.All" } else { name }.to_owned()).collect()
}

/// The permissions that the flat names grant where `MCP_AUTH_BROKER_ALLOWED_SCOPES` is not set.
pub(super) fn default_permissions() -> Vec<String> {
    permissions("User.Read")
}
