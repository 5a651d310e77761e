//! The answer in the browser's address bar: parameters appended to the client's redirect URI, `iss` always among them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::authorization_server::server::AuthorizationServer;
use crate::store::StoreError;

/// All but the unreserved characters (RFC 3986 §2.3), so that every way of decoding gives the same value.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a request was refused, in terms of its protocol (RFC 6749 §4.1.2.1 and extensions).
///
/// Told to the client only once the redirect URI is known to be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    InvalidRequest(&'static str),
    UnsupportedResponseType,
    UnauthorizedClient,
    InvalidScope(&'static str),
    InvalidTarget(&'static str),
    RequestNotSupported,
    RequestUriNotSupported,
    /// A client that must push its requests came without (RFC 9126 §5).
    NotPushed,
    /// OIDC Core §3.1.2.6
    LoginRequired,
    /// Somebody is logged in, and not as was asked for: too long ago, or not strongly enough (OIDC Core §3.1.2.6).
    NewLoginRequired,
    /// Who logged in is not whom the client means (OIDC Core §3.1.2.2).
    OtherPerson,
    /// OIDC Core §3.1.2.6
    ConsentRequired,
    /// The person cannot log in as strongly as was asked for (RFC 9470 §5).
    UnmetAuthentication,
    /// The person said no.
    Denied,
}

impl Refused {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) | Self::NotPushed => "invalid_request",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget(_) => "invalid_target",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::LoginRequired | Self::NewLoginRequired | Self::OtherPerson => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::UnmetAuthentication => "unmet_authentication_requirements",
            Self::Denied => "access_denied",
        }
    }

    /// A constant of ours: nothing of the request is reflected (N23).
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(text) | Self::InvalidScope(text) | Self::InvalidTarget(text) => {
                text
            }
            Self::UnsupportedResponseType => "response_type must be code",
            Self::UnauthorizedClient => {
                "this client is not registered for the authorization_code grant"
            }
            Self::RequestNotSupported => "request objects are not supported",
            Self::RequestUriNotSupported => "request_uri is not one that was pushed here",
            Self::NotPushed => {
                "this client pushes its authorization requests to the pushed authorization request endpoint"
            }
            Self::LoginRequired => "nobody is logged in and no page may be shown",
            Self::NewLoginRequired => "a new login is needed and no page may be shown",
            Self::OtherPerson => "who is logged in is not whom id_token_hint is about",
            Self::ConsentRequired => "consent is needed and no page may be shown",
            Self::UnmetAuthentication => "the login is of no kind that acr_values asks for",
            Self::Denied => "the person refused",
        }
    }
}

/// # Errors
///
/// [`StoreError::Corrupt`] where a stored redirect URI is no URL: validation let none such in.
pub(super) fn error_url(
    server: &AuthorizationServer,
    redirect_uri: &str,
    state: Option<&str>,
    refused: Refused,
) -> Result<Url, StoreError> {
    let parameters = [("error", refused.code()), ("error_description", refused.description())];
    answer_url(server, redirect_uri, state, &parameters)
}

/// Appends to what is there (RFC 6749 §3.1.2): a query of the redirect URI stays as it is.
///
/// # Errors
///
/// As [`error_url`].
pub(super) fn answer_url(
    server: &AuthorizationServer,
    redirect_uri: &str,
    state: Option<&str>,
    parameters: &[(&str, &str)],
) -> Result<Url, StoreError> {
    let ours = [("iss", server.settings.issuer.as_str())];
    let state = state.map(|state| ("state", state));
    let all = parameters.iter().copied().chain(state).chain(ours);
    appended(redirect_uri, all)
        .parse()
        .map_err(|_| StoreError::Corrupt("authorization_request.redirect_uri"))
}

/// The URI with these parameters after those that it has.
pub(in crate::authorization_server) fn appended<'a>(
    redirect_uri: &str,
    all: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut text = redirect_uri.to_owned();
    for (name, value) in all {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, VALUE));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6749 §4.1.2, App. A.5 — N14
    #[test]
    fn the_state_comes_back_as_it_was_and_a_query_stays() {
        let state = "a b+c&d=e%20\"ü";
        let all = [("code", "x"), ("state", state)];
        let url: Url = appended("https://c.example/cb?own=1", all.into_iter()).parse().unwrap();
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs[0], ("own".into(), "1".into()));
        assert_eq!(pairs[2], ("state".into(), state.into()));
    }

    #[test]
    fn a_redirect_uri_of_an_app_gets_its_answer_too() {
        let all = [("code", "x")];
        assert_eq!(appended("com.example.app:/cb", all.into_iter()), "com.example.app:/cb?code=x");
    }

    // RFC 6749 §4.1.2.1 — N23
    #[test]
    fn descriptions_have_only_the_characters_that_are_allowed() {
        for refused in [
            Refused::UnsupportedResponseType,
            Refused::UnauthorizedClient,
            Refused::LoginRequired,
            Refused::NewLoginRequired,
            Refused::OtherPerson,
            Refused::ConsentRequired,
            Refused::Denied,
            Refused::UnmetAuthentication,
            Refused::RequestNotSupported,
            Refused::RequestUriNotSupported,
            Refused::NotPushed,
        ] {
            let fine = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(refused.description().bytes().all(fine), "{refused:?}");
        }
    }
}
