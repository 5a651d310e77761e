//! One issuer whose tokens are accepted: what is configured, and what of it cannot be.

use std::time::Duration;

use url::Url;

use crate::id::{ClientId, Issuer, TenantId};

use super::algorithm::Algorithm;
use super::local::LocalKeys;
use super::secret_source::SecretSource;

/// Where the keys of an issuer come from, or who answers for its tokens.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Our own public keys; [`LocalKeys::replace`] swaps them at run time.
    Local(std::sync::Arc<LocalKeys>),
    /// A key set (RFC 7517 §5) that is fetched when it is first needed.
    Jwks {
        /// Where it is.
        url: Url,
    },
    /// The same, where the issuer's own metadata says it is (RFC 8414, OIDC Discovery).
    Discovery,
    /// The issuer is asked about each token (RFC 7662).
    Introspection {
        /// Where it is.
        url: Url,
        /// Who we are to the issuer.
        client_id: ClientId,
        /// What proves it.
        client_secret: SecretSource,
    },
    /// HS256 with a secret that the issuer knows as well.
    SharedSecret(SecretSource),
}

/// One issuer. [`IssuerSettings::new`] fills in what is usual.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The exact `iss`. With Entra it may hold `{tenantid}`, which stands for the token's `tid`.
    pub issuer: Issuer,
    /// What `aud` must contain one of: our resource URLs, and for Entra our application's id and id URI.
    pub audiences: Vec<String>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// The signature algorithms its tokens may have.
    pub algorithms: Vec<Algorithm>,
    /// The `typ` of an access token, without case and `application/`; `""` stands for a token without `typ`.
    pub token_types: Vec<String>,
    /// The claims whose union is the scope; each a text or a list of texts.
    pub scope_claims: Vec<String>,
    /// How far the issuer's clock may be off; at most 120 s.
    pub skew: Duration,
    /// Longer tokens are refused unread.
    pub max_token_bytes: usize,
    /// Tokens are Entra's: the caller is (`tid`, `oid`), and a token with neither scopes nor roles is refused.
    pub entra: bool,
    /// Entra tenants that are let in; empty means every one, which `{tenantid}` does not allow.
    pub tenants: Vec<TenantId>,
    /// Tokens that are not JWTs are this issuer's; needs introspection.
    pub opaque_tokens: bool,
}

/// Why an issuer cannot be configured like this. All of it is found at start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No issuer is configured: every token would be refused.
    #[error(
        "no issuer is configured: every token would be refused\n  hint: name one whose tokens are accepted"
    )]
    NoIssuer,
    /// An issuer is configured twice.
    #[error("issuer `{0}` is configured twice\n  hint: name it once; several audiences are a list")]
    RepeatedIssuer(Issuer),
    /// No audience: a token must name this resource (RFC 8707 §2).
    #[error("issuer `{0}` has no audience: RFC 8707 §2 asks that a token names this resource")]
    NoAudience(Issuer),
    /// An audience is Microsoft Graph's own: such tokens are not for us.
    #[error(
        "issuer `{0}` has an audience that is Microsoft Graph's own: such tokens are not for us"
    )]
    GraphAudience(Issuer),
    /// No algorithm is named.
    #[error(
        "issuer `{0}` names no algorithm\n  hint: algorithms = [\"RS256\"], as its key set says"
    )]
    NoAlgorithm(Issuer),
    /// An algorithm does not go with the kind of key.
    #[error(
        "issuer `{issuer}` cannot use {algorithm} with its kind of key\n  hint: HS256 goes with secret; the others with jwks_uri or discovery"
    )]
    Algorithm {
        /// The issuer.
        issuer: Issuer,
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// No token type is named.
    #[error("issuer `{0}` names no token type\n  hint: at+jwt, or JWT for Entra and Okta")]
    NoTokenType(Issuer),
    /// More than 120 s of skew.
    #[error("issuer `{0}` allows more than 120 s of skew\n  hint: mend the clocks instead (NTP)")]
    Skew(Issuer),
    /// The shared secret is empty.
    #[error(
        "issuer `{0}` has an empty shared secret\n  hint: openssl rand -base64 48, at the issuer and here"
    )]
    EmptySecret(Issuer),
    /// The issuer holds `{tenantid}`, which needs [`IssuerSettings::entra`] and a list of tenants.
    #[error("issuer `{0}` holds {{tenantid}}: it needs `entra` and a list of tenants (GUIDs)")]
    Tenants(Issuer),
    /// Opaque tokens without introspection.
    #[error(
        "issuer `{0}` takes opaque tokens, which needs introspection\n  hint: introspection = {{ url, client_id, client_secret }}"
    )]
    OpaqueWithoutIntrospection(Issuer),
    /// Two issuers take opaque tokens: nobody could say whose one is.
    #[error(
        "issuers `{0}` and `{1}` both take opaque tokens\n  hint: one issuer has introspection; nothing in an opaque token says whose it is"
    )]
    TwoOpaque(Issuer, Issuer),
    /// The issuer is no https URL, so its metadata cannot be found.
    #[error(
        "issuer `{0}` is no https URL: its metadata cannot be found\n  hint: give its jwks_uri"
    )]
    NotDiscoverable(Issuer),
    /// The issuer is remote, and there is no HTTP client.
    #[error("issuer `{0}` is remote: it needs an HTTP client")]
    NoOutbound(Issuer),
}

pub(super) const TENANT_PLACEHOLDER: &str = "{tenantid}";

impl IssuerSettings {
    /// With the usual algorithms, token types, scope claims and limits.
    #[must_use]
    pub fn new(issuer: Issuer, audiences: Vec<String>, keys: KeySource) -> Self {
        use Algorithm::{ES256, ES384, EdDSA, HS256, PS256, RS256};
        let algorithms = match keys {
            KeySource::SharedSecret(_) => vec![HS256],
            KeySource::Local(_)
            | KeySource::Jwks { .. }
            | KeySource::Discovery
            | KeySource::Introspection { .. } => {
                vec![RS256, PS256, ES256, ES384, EdDSA]
            }
        };
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            issuer,
            audiences,
            keys,
            algorithms,
            token_types: owned(&["at+jwt", "JWT"]),
            scope_claims: owned(&["scope", "scp", "scopes", "mcp_tool_scopes"]),
            skew: Duration::from_secs(30),
            max_token_bytes: 16 * 1024,
            entra: false,
            tenants: Vec::new(),
            opaque_tokens: false,
        }
    }

    /// # Errors
    ///
    /// The first [`SettingsError`] of this issuer alone.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let refuse = |condition: bool, error: fn(Issuer) -> SettingsError| {
            if condition { Err(error(self.issuer.clone())) } else { Ok(()) }
        };
        refuse(self.audiences.iter().all(String::is_empty), SettingsError::NoAudience)?;
        refuse(self.audiences.iter().any(|aud| is_graph(aud)), SettingsError::GraphAudience)?;
        refuse(self.algorithms.is_empty(), SettingsError::NoAlgorithm)?;
        refuse(self.token_types.is_empty(), SettingsError::NoTokenType)?;
        refuse(self.skew > Duration::from_mins(2), SettingsError::Skew)?;
        let templated = self.issuer.as_str().contains(TENANT_PLACEHOLDER);
        let guids = self.tenants.iter().all(|tenant| is_guid(tenant.as_str()));
        refuse(
            templated && !(self.entra && !self.tenants.is_empty() && guids),
            SettingsError::Tenants,
        )?;
        let introspects = matches!(self.keys, KeySource::Introspection { .. });
        refuse(self.opaque_tokens && !introspects, SettingsError::OpaqueWithoutIntrospection)?;
        let shared = match &self.keys {
            KeySource::SharedSecret(secret) => {
                refuse(secret.is_empty(), SettingsError::EmptySecret)?;
                true
            }
            KeySource::Local(_)
            | KeySource::Jwks { .. }
            | KeySource::Discovery
            | KeySource::Introspection { .. } => false,
        };
        match self.algorithms.iter().find(|alg| (**alg == Algorithm::HS256) != shared) {
            Some(algorithm) => {
                Err(SettingsError::Algorithm { issuer: self.issuer.clone(), algorithm: *algorithm })
            }
            None => Ok(()),
        }
    }
}

/// Tokens for Microsoft Graph are not for us, and nobody but Graph can validate them.
fn is_graph(audience: &str) -> bool {
    const GRAPH: [&str; 5] = [
        "00000003-0000-0000-c000-000000000000",
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    ];
    GRAPH.contains(&audience.trim_end_matches('/').to_ascii_lowercase().as_str())
}

/// A GUID in lower case, as Entra writes `tid`.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> IssuerSettings {
        let url = "https://idp.example/jwks".parse().unwrap();
        IssuerSettings::new(
            "https://idp.example".parse().unwrap(),
            vec!["https://b.example/mcp".to_owned()],
            KeySource::Jwks { url },
        )
    }

    #[test]
    fn what_would_weaken_every_check_is_refused_at_start() {
        assert_eq!(settings().check(), Ok(()));
        let changes: [fn(&mut IssuerSettings); 9] = [
            |s| s.audiences.clear(),
            |s| s.audiences.push("https://graph.microsoft.com/".to_owned()),
            |s| s.algorithms.clear(),
            |s| s.algorithms.push(Algorithm::HS256),
            |s| s.token_types.clear(),
            |s| s.skew = Duration::from_secs(121),
            |s| s.issuer = "https://login.example/{tenantid}/v2.0".parse().unwrap(),
            |s| s.opaque_tokens = true,
            |s| s.keys = KeySource::SharedSecret(String::new().into()),
        ];
        let found: Vec<_> = changes
            .iter()
            .map(|change| {
                let mut settings = settings();
                change(&mut settings);
                settings.check().unwrap_err().to_string()
            })
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        issuer `https://idp.example` has no audience: RFC 8707 §2 asks that a token names this resource
        issuer `https://idp.example` has an audience that is Microsoft Graph's own: such tokens are not for us
        issuer `https://idp.example` names no algorithm
          hint: algorithms = ["RS256"], as its key set says
        issuer `https://idp.example` cannot use HS256 with its kind of key
          hint: HS256 goes with secret; the others with jwks_uri or discovery
        issuer `https://idp.example` names no token type
          hint: at+jwt, or JWT for Entra and Okta
        issuer `https://idp.example` allows more than 120 s of skew
          hint: mend the clocks instead (NTP)
        issuer `https://login.example/{tenantid}/v2.0` holds {tenantid}: it needs `entra` and a list of tenants (GUIDs)
        issuer `https://idp.example` takes opaque tokens, which needs introspection
          hint: introspection = { url, client_id, client_secret }
        issuer `https://idp.example` has an empty shared secret
          hint: openssl rand -base64 48, at the issuer and here
        "#);
    }

    #[test]
    fn a_tenant_is_a_lower_case_guid() {
        assert!(is_guid("9188040d-6c67-4c5b-b112-36a304b66dad"));
        for bad in [
            "",
            "common",
            "9188040D-6C67-4C5B-B112-36A304B66DAD",
            "9188040d-6c67-4c5b-b112-36a304b66da/",
        ] {
            assert!(!is_guid(bad), "{bad}");
        }
    }
}
