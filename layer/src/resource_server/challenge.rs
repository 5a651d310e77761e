//! The `WWW-Authenticate` value of a refusal (RFC 6750 §3, RFC 9728 §5.1): legal whatever goes in.

use http::HeaderValue;
use url::Url;

use crate::scope::{Scope, ScopeToken};

use super::algorithm::Algorithm;
use super::dpop::PROOF_ALGORITHMS;

/// How long the `scope` parameter may become, so that no proxy drops the answer.
const MAX_SCOPE: usize = 4096;
const MAX_TEXT: usize = 256;
const MAX_URL: usize = 2048;

/// A challenge of the `Bearer` scheme. Each parameter is a field, so none can be printed twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    error: Option<ChallengeError>,
    description: Option<String>,
    scope: Option<String>,
    acr_values: Option<String>,
    max_age: Option<u32>,
    metadata: String,
}

/// The `error` codes of RFC 6750 §3.1 and RFC 9449 §12.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeError {
    /// 400
    InvalidRequest,
    /// 401
    InvalidToken,
    /// 403
    InsufficientScope,
    /// 401 (RFC 9449 §7.1)
    InvalidDpopProof,
    /// 401 (RFC 9449 §9)
    UseDpopNonce,
    /// 401 (RFC 9470 §3)
    InsufficientUserAuthentication,
}

impl ChallengeError {
    /// The code as it is written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
        }
    }
}

impl Challenge {
    /// For a request without credentials: names where the metadata is, and no `error` (OAuth 2.1 §5.3.2).
    #[must_use]
    pub fn new(resource_metadata: &Url) -> Self {
        let metadata = resource_metadata.as_str();
        let metadata = if metadata.len() > MAX_URL { "" } else { metadata };
        let metadata = metadata
            .chars()
            .filter_map(|c| match c {
                '"' => Some("%22".to_owned()),
                '\\' => Some("%5C".to_owned()),
                c if c.is_ascii_graphic() => Some(c.to_string()),
                _ => None,
            })
            .collect();
        Self {
            error: None,
            description: None,
            scope: None,
            acr_values: None,
            max_age: None,
            metadata,
        }
    }

    /// Sets `error`.
    #[must_use]
    pub const fn error(mut self, error: ChallengeError) -> Self {
        self.error = Some(error);
        self
    }

    /// `error_description`. Characters outside `%x20-21 %x23-5B %x5D-7E` become `'`; at most 256 remain.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        let legal = |c: char| matches!(c, '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
        let text: String =
            text.chars().take(MAX_TEXT).map(|c| if legal(c) { c } else { '\'' }).collect();
        self.description = (!text.is_empty()).then_some(text);
        self
    }

    /// What to ask for. `offline_access` is the client's business and left out (MCP, Refresh Tokens); whole tokens only,
    /// up to 4 KiB. An empty scope prints no parameter.
    #[must_use]
    pub fn scope(mut self, scope: &Scope) -> Self {
        let mut text = String::new();
        for token in scope.iter().map(ScopeToken::as_str).filter(|t| *t != "offline_access") {
            if text.len().saturating_add(token.len()) >= MAX_SCOPE {
                break;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(token);
        }
        self.scope = (!text.is_empty()).then_some(text);
        self
    }

    /// The log-in that is asked for (RFC 9470 §3): values of `acr` in the order of preference, and how many seconds ago it
    /// may have been. A value with a space or a character that has no place in a header is left out.
    #[must_use]
    pub fn login(mut self, acr_values: &[String], max_age: Option<u32>) -> Self {
        let legal = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
        let mut text = String::new();
        for value in acr_values.iter().filter(|value| !value.is_empty() && value.chars().all(legal))
        {
            if text.len().saturating_add(value.len()) >= MAX_SCOPE {
                break;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(value);
        }
        self.acr_values = (!text.is_empty()).then_some(text);
        self.max_age = max_age;
        self
    }

    /// The header's value, on one line, with at least one parameter.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        self.written("Bearer ", None)
    }

    /// The same as a challenge of the `DPoP` scheme (RFC 9449 §7.1), with the algorithms of proofs.
    #[must_use]
    pub fn to_dpop_header_value(&self) -> HeaderValue {
        self.written("DPoP ", Some(&PROOF_ALGORITHMS.map(Algorithm::as_str).join(" ")))
    }

    fn written(&self, scheme: &str, algs: Option<&str>) -> HeaderValue {
        let max_age = self.max_age.map(|seconds| seconds.to_string());
        let parameters = [
            ("algs", algs),
            ("error", self.error.map(ChallengeError::as_str)),
            ("error_description", self.description.as_deref()),
            ("scope", self.scope.as_deref()),
            ("acr_values", self.acr_values.as_deref()),
            ("max_age", max_age.as_deref()),
            ("resource_metadata", Some(self.metadata.as_str())),
        ];
        let mut text = String::from(scheme);
        for (name, value) in parameters {
            let Some(value) = value else { continue };
            if !text.ends_with(' ') {
                text.push_str(", ");
            }
            text.extend([name, "=\"", value, "\""]);
        }
        printable(text)
    }
}

fn printable(text: String) -> HeaderValue {
    #[expect(
        clippy::expect_used,
        reason = "every part was reduced to printable ASCII on its way in"
    )]
    HeaderValue::try_from(text).expect("a challenge is printable ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    const METADATA: &str = "https://b.example/.well-known/oauth-protected-resource/mcp";

    // RS-21, RS-22
    #[test]
    fn insufficient_scope_names_all_that_the_operation_needs() {
        let challenge = Challenge::new(&url(METADATA))
            .error(ChallengeError::InsufficientScope)
            .description("more is needed")
            .scope(&"mail:send mail:read".parse().unwrap());
        insta::assert_snapshot!(challenge.to_header_value().to_str().unwrap(), @r#"
        Bearer error="insufficient_scope", error_description="more is needed", scope="mail:read mail:send", resource_metadata="https://b.example/.well-known/oauth-protected-resource/mcp"
        "#);
    }

    // RFC 9470 §3
    #[test]
    fn a_log_in_is_asked_for_by_its_strength_and_age() {
        let values = ["phr", "two words", "q\"", "mfa"].map(str::to_owned);
        let challenge = Challenge::new(&url(METADATA))
            .error(ChallengeError::InsufficientUserAuthentication)
            .login(&values, Some(300));
        insta::assert_snapshot!(challenge.to_header_value().to_str().unwrap(), @r#"
        Bearer error="insufficient_user_authentication", acr_values="phr mfa", max_age="300", resource_metadata="https://b.example/.well-known/oauth-protected-resource/mcp"
        "#);
    }

    // RS-6
    #[test]
    fn offline_access_is_never_asked_for() {
        let challenge = Challenge::new(&url(METADATA)).scope(&"offline_access".parse().unwrap());
        assert!(!challenge.to_header_value().to_str().unwrap().contains("scope"));
    }

    /// Reads a header as a strict client would: `Bearer name="value", …`.
    fn parse(header: &str) -> Option<Vec<(String, String)>> {
        let mut rest = header.strip_prefix("Bearer ")?;
        let mut found = Vec::new();
        loop {
            let (name, tail) = rest.split_once("=\"")?;
            let (value, tail) = tail.split_once('"')?;
            found.push((name.to_owned(), value.to_owned()));
            match tail.strip_prefix(", ") {
                Some(next) => rest = next,
                None => return tail.is_empty().then_some(found),
            }
        }
    }

    // RS-18
    proptest! {
        #[test]
        fn whatever_goes_in_a_legal_header_comes_out(
            description in any::<String>(),
            scope in prop::collection::vec("[!#-\\[\\]-~]{1,300}", 0..30),
            path in any::<String>(),
        ) {
            let metadata = Url::parse("https://b.example/?").unwrap().join(&format!("?{path}\\\"")).unwrap();
            let scope = scope.iter().filter_map(|token| token.parse().ok()).collect();
            let challenge = Challenge::new(&metadata)
                .error(ChallengeError::InvalidToken).description(&description).scope(&scope)
                .description(&description).error(ChallengeError::InvalidToken);
            let value = challenge.to_header_value();
            let parameters = parse(value.to_str().unwrap()).expect("parses");
            let names: std::collections::BTreeSet<_> = parameters.iter().map(|p| &p.0).collect();
            prop_assert_eq!(names.len(), parameters.len());
            prop_assert!(!parameters.is_empty() && value.len() < 8192);
            for (name, value) in &parameters {
                let space = name != "resource_metadata";
                prop_assert!(value.bytes().all(|b| (b == b' ' && space) || matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{}", name);
            }
        }
    }
}
