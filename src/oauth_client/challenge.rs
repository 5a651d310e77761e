//! `WWW-Authenticate: Bearer …` of a server that wants a token, or a better one (RFC 6750 §3, RFC 9728 §5.1).

use http::{HeaderMap, header};
use url::Url;

/// What a challenge says. None of it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// Where the server's metadata is.
    pub resource_metadata: Option<Url>,
    /// What to ask for.
    pub scope: Option<String>,
    /// Such as `insufficient_scope`.
    pub error: Option<String>,
}

impl BearerChallenge {
    /// The first bearer challenge of an answer; an empty one where there is none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut texts = values.filter_map(|value| value.to_str().ok());
        texts.find_map(Self::parse).unwrap_or_default()
    }

    /// Whether a token with more scopes would do (MCP authorization, step-up).
    #[must_use]
    pub fn wants_more_scopes(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut challenge = Self::default();
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "resource_metadata" => challenge.resource_metadata = value.parse().ok(),
                "scope" => challenge.scope = Some(value).filter(|scope| !scope.is_empty()),
                "error" => challenge.error = Some(value),
                _ => {}
            }
        }
        Some(challenge)
    }
}

/// `name=value` and `name="value"` (RFC 9110 §11.2), up to where something else begins.
fn parameters(text: &str) -> Vec<(String, String)> {
    const MOST: usize = 32;
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']);
        if name.is_empty() || name.contains(' ') || found.len() >= MOST {
            break;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => match after.split_once(',') {
                Some((value, after)) => (value.trim().to_owned(), after),
                None => (after.trim().to_owned(), ""),
            },
        };
        found.push((name.to_owned(), value));
        rest = after.trim_start_matches([' ', ',', '\t']);
    }
    found
}

/// A quoted string whose first quote is gone, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at.saturating_add(1)..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> BearerChallenge {
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        headers.append(header::WWW_AUTHENTICATE, text.parse().unwrap());
        BearerChallenge::of(&headers)
    }

    // RFC 9728 §5.1, RFC 9110 §11.2
    #[test]
    fn parameters_are_read_in_any_order_quoted_or_not() {
        let found = parsed(
            r#"bearer realm="a, b=\"c\"", error=insufficient_scope,scope="a:read b" , resource_metadata="https://s.example/.well-known/x""#,
        );
        assert!(found.wants_more_scopes());
        assert_eq!(found.scope.as_deref(), Some("a:read b"));
        assert_eq!(found.resource_metadata.unwrap().as_str(), "https://s.example/.well-known/x");
    }

    #[test]
    fn what_is_no_challenge_says_nothing() {
        for odd in [
            "Bearer",
            "Negotiate x=y",
            "Bearer =",
            "Bearer \"",
            "Bearer a b c",
            "Bearer scope=\"\"",
        ] {
            assert_eq!(parsed(odd), BearerChallenge::default(), "{odd}");
        }
    }
}
