//! Client metadata (RFC 7591 §2) as it is registered, stored and published.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::authorization_server::token::JWT_BEARER;
use crate::certificate_name::{CertificateName, NameKind};
use crate::redirect_uri::RedirectUri;
use crate::scope::Scope;

use super::LogoutRules;
use super::auth_method::AuthMethod;

/// What clients say about themselves. Unknown members are ignored (RFC 7591 §2), a member that comes twice is an error.
///
/// `logo_uri` and its like are left out on purpose: nothing of a client's is shown but its name (N93).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClientMetadata {
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
    /// What else it can do (`OpenID` Connect RP Metadata Choices); some hosted clients say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// RFC 9126 §6
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_pushed_authorization_requests: Option<bool>,
    /// RFC 9449 §5.2
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_bound_access_tokens: Option<bool>,
    /// RFC 8705 §2.1.2: one of these five, with `tls_client_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_email: Option<String>,
    /// RFC 8705 §3.4
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_certificate_bound_access_tokens: Option<bool>,
    /// OIDC RP-Initiated Logout §3.1. Of clients that an operator registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_logout_redirect_uris: Option<Vec<String>>,
    /// OIDC Back-Channel Logout §2.2, in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Never stored or answered; read so that a public document with a secret in it is refused (N98).
    #[serde(default, skip_serializing)]
    pub client_secret: Option<serde::de::IgnoredAny>,
}

impl ClientMetadata {
    /// Its redirect URIs. Whatever stores or reads metadata has parsed each before, or refused the whole: what is none
    /// here was changed since, and is left out.
    #[must_use]
    pub fn parsed_redirect_uris(&self) -> Vec<RedirectUri> {
        self.redirect_uris.iter().filter_map(|uri| RedirectUri::parse(uri).ok()).collect()
    }

    /// The one name by which it is known in certificates. `None` where there is none, several, or one that is no name.
    #[must_use]
    pub fn certificate_name(&self) -> Option<CertificateName> {
        let given = |kind| match kind {
            NameKind::SubjectDn => self.tls_client_auth_subject_dn.as_deref(),
            NameKind::SanDns => self.tls_client_auth_san_dns.as_deref(),
            NameKind::SanUri => self.tls_client_auth_san_uri.as_deref(),
            NameKind::SanIp => self.tls_client_auth_san_ip.as_deref(),
            NameKind::SanEmail => self.tls_client_auth_san_email.as_deref(),
        };
        let mut names = NameKind::ALL.into_iter().filter_map(|kind| Some((kind, given(kind)?)));
        let ((kind, text), None) = (names.next()?, names.next()) else { return None };
        CertificateName::parse(kind, text).ok()
    }

    pub(super) fn logout_rules(&self) -> LogoutRules {
        let uris = self.post_logout_redirect_uris.iter().flatten();
        LogoutRules {
            redirect_uris: uris.filter_map(|uri| RedirectUri::parse(uri).ok()).collect(),
            notify: self.backchannel_logout_uri.as_deref().and_then(|uri| Url::parse(uri).ok()),
        }
    }

    /// How it may authenticate. RFC 7591 §2: `client_secret_basic` where nothing is said.
    #[must_use]
    pub fn auth_methods(&self) -> Vec<AuthMethod> {
        let said = self.token_endpoint_auth_method.as_deref();
        let more = self.token_endpoint_auth_methods_supported.iter().flatten();
        let mut methods: Vec<AuthMethod> = said
            .into_iter()
            .chain(more.map(String::as_str))
            .filter_map(AuthMethod::parse)
            .collect();
        if said.is_none() && methods.is_empty() {
            methods.push(AuthMethod::ClientSecretBasic);
        }
        methods.dedup();
        methods
    }

    /// Of the grants we have, those it asks for.
    #[must_use]
    pub fn known_grant_types(&self) -> Vec<&'static str> {
        const KNOWN: [&str; 4] =
            ["authorization_code", "refresh_token", "client_credentials", JWT_BEARER];
        let Some(asked) = &self.grant_types else { return vec!["authorization_code"] };
        KNOWN.into_iter().filter(|known| asked.iter().any(|grant| grant == known)).collect()
    }

    /// `None` where none was registered, or one that is none.
    #[must_use]
    pub fn parsed_scope(&self) -> Option<Scope> {
        self.scope.as_deref().and_then(|text| text.parse().ok())
    }

    /// A name that can be shown: one line without invisible or direction-changing signs, 64 characters at most (N93).
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        display_name(self.client_name.as_deref()?)
    }
}

/// As [`ClientMetadata::display_name`].
pub(in crate::authorization_server) fn display_name(unverified: &str) -> Option<String> {
    const MAX: usize = 64;
    let hidden = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let spaced: String = unverified
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !hidden(*c))
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let name: String = words.join(" ").chars().take(MAX).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7591 §5 — N93
    #[test]
    fn a_name_is_one_short_line_without_tricks() {
        assert_eq!(
            display_name("Claude\u{202e} \n(claude.ai)\u{200b}").unwrap(),
            "Claude (claude.ai)"
        );
        assert_eq!(display_name(&"x".repeat(500)).unwrap().len(), 64);
        assert_eq!(display_name(" \u{3164}\u{200d} "), None);
    }

    // RFC 7591 §2 — N97
    #[test]
    fn a_member_that_comes_twice_is_an_error_and_unknown_ones_are_not() {
        let read = serde_json::from_str::<ClientMetadata>;
        assert!(read(r#"{"client_name":"a","client_name":"b"}"#).is_err());
        assert!(read(r#"{"client_name":null,"x-unknown":[1]}"#).is_ok());
    }

    #[test]
    fn chatgpt_may_authenticate_by_key_or_not_at_all() {
        let said = r#"{"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"]}"#;
        let metadata: ClientMetadata = serde_json::from_str(said).unwrap();
        let methods = metadata.auth_methods();
        assert!(
            methods.contains(&AuthMethod::None) && methods.contains(&AuthMethod::PrivateKeyJwt)
        );
        assert_eq!(ClientMetadata::default().auth_methods(), [AuthMethod::ClientSecretBasic]);
    }
}
