//! What clients read first: authorization server metadata (RFC 8414), which is our discovery document as well.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use crate::resource_server::PROOF_ALGORITHMS;
use crate::scope::{Scope, ScopeToken};

use super::authorize::PUSHED_PATH;
use super::client::AuthMethod;
use super::device;
use super::keys::SigningAlgorithm;
use super::logout::END_SESSION_PATH;
use super::published::Published;
use super::session::TWO_FACTORS;
use super::settings::{Registration, Settings};
use super::token::{DEVICE_CODE, ID_JAG_PROFILE, JWT_BEARER, TOKEN_EXCHANGE};

/// Absent members are left out, never null (RFC 8414 §3.2): clients refuse the whole document for one null.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of RFC 8414 and its neighbours")]
struct Document<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    introspection_endpoint: String,
    userinfo_endpoint: String,
    end_session_endpoint: String,
    backchannel_logout_supported: bool,
    backchannel_logout_session_supported: bool,
    pushed_authorization_request_endpoint: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    require_pushed_authorization_requests: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_authorization_endpoint: Option<String>,
    scopes_supported: Vec<&'a str>,
    response_types_supported: [&'a str; 1],
    response_modes_supported: [&'a str; 1],
    grant_types_supported: Vec<&'a str>,
    /// Of ID-JAGs. Never whose are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_grant_profiles_supported: Vec<&'a str>,
    subject_types_supported: [&'a str; 1],
    /// Those that are signed. RS256 is not among them by default, whatever OIDC Discovery §3 says: to name what is never used
    /// would tell clients to expect it.
    id_token_signing_alg_values_supported: [&'a str; 1],
    claims_supported: [&'a str; 13],
    acr_values_supported: [&'a str; 2],
    token_endpoint_auth_methods_supported: Vec<&'a str>,
    token_endpoint_auth_signing_alg_values_supported: [&'a str; 3],
    revocation_endpoint_auth_methods_supported: Vec<&'a str>,
    /// Of clients; a server's API key is a bearer token (RFC 8414 §2).
    introspection_endpoint_auth_methods_supported: Vec<&'a str>,
    introspection_endpoint_auth_signing_alg_values_supported: [&'a str; 3],
    /// RFC 9701 §7
    introspection_signing_alg_values_supported: Vec<&'a str>,
    /// RFC 8414 §2 wants it beside `private_key_jwt`.
    revocation_endpoint_auth_signing_alg_values_supported: [&'a str; 3],
    code_challenge_methods_supported: [&'a str; 1],
    authorization_response_iss_parameter_supported: bool,
    client_id_metadata_document_supported: bool,
    prompt_values_supported: [&'a str; 4],
    /// To leave this one out would mean `true` (OIDC Discovery §3). References of our own (`/par`) are another matter.
    request_uri_parameter_supported: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<&'a str>,
    /// RFC 8705 §3.3
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
}

impl Document<'_> {
    fn to_bytes(&self) -> Bytes {
        #[expect(clippy::expect_used, reason = "texts, lists of texts and flags always serialise")]
        serde_json::to_vec(self).expect("a document of texts serialises").into()
    }
}

/// Those with certificates only where clients are asked for one.
fn auth_methods(settings: &Settings) -> Vec<&'static str> {
    let served = |method: &AuthMethod| settings.client_certificates.serve(*method);
    AuthMethod::ALL.into_iter().filter(served).map(AuthMethod::as_str).collect()
}

/// Nobody asks about tokens without proof.
fn introspection_methods(settings: &Settings) -> Vec<&'static str> {
    let none = AuthMethod::None.as_str();
    auth_methods(settings).into_iter().filter(|method| *method != none).chain(["Bearer"]).collect()
}

/// Of ID tokens, and of `/userinfo`.
const CLAIMS: [&str; 13] = [
    "iss",
    "sub",
    "aud",
    "iat",
    "exp",
    "auth_time",
    "acr",
    "amr",
    "sid",
    "nonce",
    "preferred_username",
    "name",
    "email",
];

const ASSERTION_ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

/// The document at every path it is looked for, the same bytes at each (N75), and where older MCP clients look.
///
/// A path of our issuer is gone when a request comes here, whether it stood after the well-known part (RFC 8414 §3.1) or
/// before it (OIDC Discovery §4). So it is with the URL of a resource, which people paste where an issuer is meant: the
/// document is the same whichever server is named. Does *not* look whether there is one: the router does.
pub fn routes(settings: &Settings) -> Router {
    let published = Published::new(document(settings), "application/json");
    let mut router = Router::new();
    for name in NAMES {
        router = router.route(&format!("/.well-known/{name}"), get(metadata));
        for path in ["/mcp", "/servers/{id}/mcp"] {
            router = router
                .route(&format!("/.well-known/{name}{path}"), get(metadata))
                .route(&format!("/.well-known/{name}{path}/"), get(metadata))
                .route(&format!("{path}/.well-known/{name}"), get(metadata));
        }
    }
    router.with_state(published)
}

async fn metadata(State(document): State<Published>, headers: HeaderMap) -> Response {
    document.answer(&headers)
}

const NAMES: [&str; 2] = ["oauth-authorization-server", "openid-configuration"];

/// Our URLs come from the settings alone (N76).
fn document(settings: &Settings) -> Bytes {
    let url = |path: &str| format!("{}{path}", settings.issuer);
    let scopes = scopes(&settings.scopes_supported);
    let document = Document {
        issuer: settings.issuer.as_str(),
        authorization_endpoint: url("/authorize"),
        token_endpoint: url("/token"),
        jwks_uri: url("/.well-known/jwks.json"),
        registration_endpoint: (settings.registration != Registration::Off)
            .then(|| url("/register")),
        revocation_endpoint: url("/revoke"),
        introspection_endpoint: url("/introspect"),
        userinfo_endpoint: url("/userinfo"),
        end_session_endpoint: url(END_SESSION_PATH),
        backchannel_logout_supported: true,
        backchannel_logout_session_supported: true,
        pushed_authorization_request_endpoint: url(PUSHED_PATH),
        require_pushed_authorization_requests: settings.require_pushed_requests,
        device_authorization_endpoint: settings.has_devices().then(|| url(device::PATH)),
        scopes_supported: scopes.iter().map(ScopeToken::as_str).collect(),
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: grant_types(settings),
        authorization_grant_profiles_supported: settings
            .takes_id_jags()
            .then_some(ID_JAG_PROFILE)
            .into_iter()
            .collect(),
        subject_types_supported: ["public"],
        acr_values_supported: ["pwd", TWO_FACTORS],
        id_token_signing_alg_values_supported: [algorithm(settings.signing_algorithm)],
        claims_supported: CLAIMS,
        token_endpoint_auth_methods_supported: auth_methods(settings),
        token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        revocation_endpoint_auth_methods_supported: auth_methods(settings),
        introspection_endpoint_auth_methods_supported: introspection_methods(settings),
        introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        introspection_signing_alg_values_supported: signing_algorithms(settings),
        revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        code_challenge_methods_supported: ["S256"],
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: settings.client_metadata_documents.is_some(),
        prompt_values_supported: ["none", "login", "consent", "select_account"],
        request_uri_parameter_supported: false,
        dpop_signing_alg_values_supported: if settings.dpop {
            PROOF_ALGORITHMS.iter().map(|algorithm| algorithm.as_str()).collect()
        } else {
            Vec::new()
        },
        tls_client_certificate_bound_access_tokens: settings.client_certificates.are_asked_for(),
    };
    document.to_bytes()
}

/// Every one that something of ours is signed with, the general one first.
fn signing_algorithms(settings: &Settings) -> Vec<&'static str> {
    let mut names = vec![algorithm(settings.signing_algorithm)];
    for (_, of_resource) in &settings.resource_signing_algorithms {
        let name = algorithm(*of_resource);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Token exchange, device codes and assertions only where somebody may use them.
fn grant_types(settings: &Settings) -> Vec<&'static str> {
    let mut names = vec!["authorization_code", "refresh_token", "client_credentials"];
    names.extend(settings.exchanges_tokens().then_some(TOKEN_EXCHANGE));
    names.extend(settings.has_devices().then_some(DEVICE_CODE));
    names.extend(settings.takes_assertions().then_some(JWT_BEARER));
    names
}

/// With those about the person: some clients ask for all that is listed, so it is short.
fn scopes(supported: &Scope) -> Scope {
    let own = ["openid", "profile", "email", "offline_access"];
    supported.union(&own.iter().filter_map(|scope| scope.parse().ok()).collect())
}

const fn algorithm(signing: SigningAlgorithm) -> &'static str {
    match signing {
        SigningAlgorithm::Es256 => "ES256",
        SigningAlgorithm::EdDsa => "EdDSA",
        SigningAlgorithm::Rs256 => "RS256",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::authorization_server::pace::Rates;
    use crate::authorization_server::settings::Administrators;
    use crate::authorization_server::shares::SiteShares;

    fn settings(registration: Registration) -> Settings {
        Settings {
            issuer: "https://b.example/base".parse().unwrap(),
            public_url: "https://b.example/base".parse().unwrap(),
            resources: Vec::new(),
            signing_algorithm: SigningAlgorithm::Es256,
            resource_signing_algorithms: Vec::new(),
            access_token_ttl: Duration::from_hours(1),
            refresh_token_ttl: Duration::from_hours(720),
            code_ttl: Duration::from_mins(1),
            refresh_grace: Duration::from_mins(1),
            rates: Rates::default(),
            site_shares: SiteShares::default(),
            default_scopes: Scope::empty(),
            scopes_supported: "graph:read".parse().unwrap(),
            administrators: Administrators::default(),
            clients: Vec::new(),
            identity_assertions: Vec::new(),
            registration,
            known_clients: std::sync::Arc::new(crate::authorization_server::KnownClients::shipped()),
            client_metadata_documents: Some(crate::host_trust::HostTrusts::default()),
            require_pushed_requests: false,
            second_factor: crate::authorization_server::SecondFactor::Optional,
            dpop: false,
            client_certificates: crate::authorization_server::ClientCertificates::default(),
            dpop_required: false,
        }
    }

    fn published(registration: Registration) -> Value {
        serde_json::from_slice(&document(&settings(registration))).unwrap()
    }

    // RFC 8414 §3.2 — N75, AS-3
    #[test]
    fn nothing_is_null_and_the_issuer_has_no_trailing_slash() {
        for registration in [Registration::Off, Registration::Limited, Registration::Token] {
            let document = published(registration);
            assert!(document.as_object().unwrap().values().all(|member| !member.is_null()));
            assert_eq!(document["issuer"], "https://b.example/base");
        }
        assert!(published(Registration::Off).get("registration_endpoint").is_none());
        assert!(published(Registration::Token).get("registration_endpoint").is_some());
    }

    // RFC 8414 §2, OIDC Discovery §3 — N20
    #[test]
    fn what_the_document_leaves_out_means_what_the_endpoints_do() {
        let document = published(Registration::Limited);
        for endpoint in ["token", "revocation", "introspection"] {
            let methods = &document[format!("{endpoint}_endpoint_auth_methods_supported")];
            assert!(methods.as_array().unwrap().contains(&"private_key_jwt".into()));
            let name = format!("{endpoint}_endpoint_auth_signing_alg_values_supported");
            assert!(!document[&name].as_array().unwrap().is_empty(), "{name}");
        }
        assert_eq!(document["request_uri_parameter_supported"], false);
        let asking = document["introspection_endpoint_auth_methods_supported"].as_array().unwrap();
        assert!(asking.contains(&"Bearer".into()) && !asking.contains(&"none".into()));
    }

    // RFC 8414 §2, MCP 2026-07-28 authorization §Authorization Code Protection — AS-4, AS-6, AS-11, AS-15, AS-28
    #[test]
    fn clients_find_what_they_look_for_before_they_begin() {
        let document = published(Registration::Limited);
        assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
        assert_eq!(document["authorization_endpoint"], "https://b.example/base/authorize");
        assert_eq!(document["token_endpoint"], "https://b.example/base/token");
        assert_eq!(document["response_types_supported"], serde_json::json!(["code"]));
        let has =
            |name: &str, value: &str| document[name].as_array().unwrap().contains(&value.into());
        assert!(has("grant_types_supported", "authorization_code"));
        assert!(has("grant_types_supported", "refresh_token"));
        for method in ["none", "client_secret_basic", "client_secret_post"] {
            assert!(has("token_endpoint_auth_methods_supported", method), "{method}");
        }
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["client_id_metadata_document_supported"], true);
        assert!(has("scopes_supported", "offline_access") && has("scopes_supported", "graph:read"));
    }
}
