//! What an administrator may write into a field. Each check names the field, what is wrong and what is allowed.

use serde_json::Value;
use url::{Host, Url};

use crate::login_provider::{is_every_tenant, is_groups_prefix};
use crate::public_jwks::PublicJwks;
use crate::redirect_uri::RedirectUri;
use crate::resource_server::AssertionKeys;
use crate::scope::Scope;
use crate::store::groups_fit;

use super::error::AdminError;

fn invalid<T>(
    field: &'static str,
    problem: &'static str,
    allowed: &'static str,
) -> Result<T, AdminError> {
    Err(AdminError::Invalid { field, problem, allowed })
}

/// A name for people. Nothing that a spreadsheet runs, that moves a terminal's cursor or turns text around (N113).
pub(super) fn label(field: &'static str, text: &str) -> Result<String, AdminError> {
    let allowed =
        "up to 100 characters, no control or direction characters, not beginning with = + - @";
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 100 {
        return invalid(field, "is empty or too long", allowed);
    }
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().any(unseen) {
        return invalid(field, "has a character that cannot be seen", allowed);
    }
    if text.starts_with(['=', '+', '-', '@']) {
        return invalid(field, "begins like a formula", allowed);
    }
    Ok(text.to_owned())
}

/// What a person is in: each a name, and together no more than a token has room for.
pub(super) fn groups(names: &[String]) -> Result<Vec<String>, AdminError> {
    let checked: Result<Vec<_>, _> = names.iter().map(|name| label("groups", name)).collect();
    let checked = checked?;
    if groups_fit(&checked) {
        return Ok(checked);
    }
    invalid("groups", "are too long together", "8 KiB of names, as a token has room for")
}

/// Lower case, so that two people cannot differ in case alone.
pub(super) fn username(text: &str) -> Result<String, AdminError> {
    let text = text.trim().to_ascii_lowercase();
    let fits = (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+@".contains(&b));
    if fits {
        Ok(text)
    } else {
        invalid(
            "username",
            "is no user name",
            "1 to 128 of a-z 0-9 . _ - + @, beginning with a letter or digit",
        )
    }
}

/// An address to show; nothing is ever sent to it, and nobody is recognised by it.
pub(super) fn email(text: &str) -> Result<String, AdminError> {
    let (local, domain) = text.split_once('@').unwrap_or_default();
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>\"'(),;:\\".contains(c);
    if local.is_empty() || domain.is_empty() || text.len() > 254 || text.chars().any(odd) {
        return invalid("email", "is no e-mail address", "name@domain, up to 254 characters");
    }
    label("email", text)
}

/// Part of paths.
pub(super) fn server_id(text: &str) -> Result<String, AdminError> {
    let fits = (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    // `mcp` would take the place of our own metadata document.
    if fits && !matches!(text, "mcp" | "servers") {
        Ok(text.to_owned())
    } else {
        invalid(
            "id",
            "is no server id",
            "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit, not mcp or servers",
        )
    }
}

/// The id of a server whose tools this broker shows: the first part of their names in rules, where a dot comes after it.
pub(super) fn proxied_id(id: &str) -> Result<(), AdminError> {
    if id.contains('.') || id == "auth" {
        return invalid(
            "id",
            "cannot be the first part of a tool's name",
            "with url: 1 to 64 of A-Z a-z 0-9 _ -, beginning with a letter or digit, not auth",
        );
    }
    Ok(())
}

/// Where a server's MCP endpoint is. Whether its address may be reached is looked at for each call, where it cannot change any more.
pub(super) fn endpoint_url(
    field: &'static str,
    text: &str,
    ours: &[Url],
) -> Result<String, AdminError> {
    let allowed =
        "an http or https URL without user and fragment, of another origin than this broker";
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    let Some(url) = url else { return invalid(field, "is no URL of a server", allowed) };
    if text.len() > 2048 {
        return invalid(field, "is longer than 2048 characters", allowed);
    }
    // It would call itself.
    if is_ours(&url, ours) {
        return invalid(field, "is this broker itself", allowed);
    }
    Ok(String::from(url))
}

/// A resource identifier (RFC 8707 §2): absolute, without a fragment, and none of ours.
///
/// Scheme, host and port become what every URL library makes of them, as clients send them. Whether there is a final
/// slash stays as it is written.
pub(super) fn resource_uri(
    field: &'static str,
    text: &str,
    ours: &[Url],
) -> Result<String, AdminError> {
    let allowed = "an https URL without user, query and fragment, or http on loopback, of another origin than this broker";
    let Some(url) = web_url(text) else { return invalid(field, "is no URL of a server", allowed) };
    if url.query().is_some() {
        return invalid(field, "has a query", allowed);
    }
    // Whoever held a key for our own resource could introspect its tokens.
    if is_ours(&url, ours) {
        return invalid(field, "is this broker itself", allowed);
    }
    let mut uri = String::from(url);
    if !text.ends_with('/') && uri.ends_with('/') {
        uri.pop();
    }
    Ok(uri)
}

/// Under any of our names: on loopback there are two.
fn is_ours(url: &Url, ours: &[Url]) -> bool {
    ours.iter().any(|name| name.origin() == url.origin())
}

/// As the same URI would be taken from a client that registers itself.
pub(super) fn redirect_uri(field: &'static str, text: &str) -> Result<RedirectUri, AdminError> {
    RedirectUri::parse(text).map_err(|error| AdminError::Invalid {
        field,
        problem: error.problem(),
        allowed: error.hint(),
    })
}

/// Public keys that each can be used: nobody is told later why an assertion is refused.
pub(super) fn jwks(set: &Value) -> Result<PublicJwks, AdminError> {
    let parsed = PublicJwks::from_value(set.clone()).map_err(|error| AdminError::Invalid {
        field: "jwks",
        problem: error.problem(),
        allowed: error.hint(),
    })?;
    let allowed = "RSA keys of 2048 to 8192 bits, P-256, P-384 and Ed25519, each with a kid of its own or none";
    match AssertionKeys::whole(parsed.to_string().as_bytes()) {
        Ok(_) => Ok(parsed),
        Err(_) => invalid("jwks", "has a key that cannot be used", allowed),
    }
}

/// Whether any certificate is beside these keys.
pub(super) fn has_certificates(set: &Value) -> bool {
    AssertionKeys::inline(set.to_string().as_bytes()).is_ok_and(|keys| keys.has_certificates())
}

/// Where public keys are fetched from, or a client is told something.
pub(super) fn client_url(field: &'static str, text: &str) -> Result<String, AdminError> {
    let allowed = "an https URL without user and fragment, or http on loopback";
    match web_url(text) {
        Some(_) => Ok(text.to_owned()),
        None => invalid(field, "is no URL of a client", allowed),
    }
}

fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let loopback = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let safe = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    (plain && safe && text.len() <= 2048 && !text.contains(char::is_whitespace)).then_some(url)
}

/// Part of the callback's path.
pub(super) fn provider_id(text: &str) -> Result<String, AdminError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    invalid("id", "cannot be part of a path", "1 to 64 letters, digits, - and _")
}

/// Whose accounts people have (OIDC Discovery §3), and never ourselves. Byte for byte: people are linked by it.
pub(super) fn provider_issuer(text: &str, ours: &[Url]) -> Result<String, AdminError> {
    let allowed = "an https URL without user, query and fragment, or http on loopback, as its discovery document has it";
    let field = "issuer";
    if web_url(text).is_none_or(|url| url.query().is_some()) {
        return invalid(field, "is no URL of an identity provider", allowed);
    }
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    if ours.iter().any(|name| bare(name.as_str()) == bare(text)) {
        return invalid(field, "is this broker itself", allowed);
    }
    if is_every_tenant(text) {
        let allowed = "https://login.microsoftonline.com/<tenant GUID>/v2.0";
        return invalid(field, "stands for every tenant: anybody's tenant could log in", allowed);
    }
    Ok(text.to_owned())
}

pub(super) fn groups_prefix(text: &str) -> Result<String, AdminError> {
    if is_groups_prefix(text) {
        return Ok(text.to_owned());
    }
    let allowed = "1 to 64 letters, digits, . _ - and a colon at the end, such as partner:";
    invalid("groups_prefix", "is no prefix", allowed)
}

/// The most that a client may have. Of `broker:*` it gives nobody anything: that comes with a person's role alone (N115), and
/// without a limit the client of an operator could pass all of it on.
pub(super) fn limit(text: &str) -> Result<Scope, AdminError> {
    let allowed = "scopes of RFC 6749 §3.3, separated by spaces";
    text.parse::<Scope>().or_else(|_| {
        invalid("scope", "has a character that no scope has, or too many scopes", allowed)
    })
}

/// Scopes that a server may have. `broker:*` comes with a person's role alone (N115).
pub(super) fn scope(text: &str) -> Result<Scope, AdminError> {
    let scope = limit(text)?;
    let allowed = "scopes of RFC 6749 §3.3, separated by spaces, none of broker:*";
    if scope.iter().any(|token| token.as_str().starts_with("broker:")) {
        return invalid("scope", "names a scope for administrators", allowed);
    }
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    // OWASP ASVS 5 — N113
    #[test]
    fn a_name_that_a_spreadsheet_or_a_terminal_would_obey_is_refused() {
        for bad in
            ["=cmd()", "@x", "+1", "-1", "a\u{1b}[2J", "a\u{202e}b", "", " ", &"x".repeat(101)]
        {
            assert!(label("name", bad).is_err(), "{bad:?}");
        }
        assert_eq!(label("name", " Wetter für Köln ").unwrap(), "Wetter für Köln");
    }

    #[test]
    fn groups_that_no_token_has_room_for_are_refused() {
        let named = |count: usize| (0..count).map(|n| format!("{n:036}")).collect::<Vec<_>>();
        assert_eq!(groups(&named(200)).unwrap().len(), 200);
        assert!(groups(&named(300)).is_err());
    }

    // RFC 8707 §2 — N113
    #[test]
    fn our_own_resource_cannot_be_registered_as_another_servers() {
        let ours = ["https://broker.example", "http://localhost:8080", "http://127.0.0.1:8080"];
        let ours = ours.map(|name| Url::parse(name).unwrap());
        for bad in [
            "https://broker.example/mcp",
            "https://broker.example:443/x",
            "http://localhost:8080/mcp",
            "http://127.0.0.1:8080/mcp",
            "http://weather.example/mcp",
            "https://u@weather.example/",
            "https://weather.example/#f",
            "weather.example",
            "file:///etc/passwd",
        ] {
            assert!(resource_uri("uri", bad, &ours).is_err(), "{bad}");
        }
        assert!(resource_uri("uri", "https://weather.example/mcp", &ours).is_ok());
        assert!(resource_uri("uri", "http://127.0.0.1:3001/mcp", &ours).is_ok());
        assert!(endpoint_url("url", "http://localhost:8080/mcp", &ours).is_err());
    }

    // RFC 8707 §2, RFC 3986 §6.2 — N61
    #[test]
    fn a_resource_is_registered_under_the_spelling_that_clients_send() {
        for (typed, kept) in [
            ("https://API.example/mcp", "https://api.example/mcp"),
            ("HTTPS://b.example:443/Mcp", "https://b.example/Mcp"),
            ("https://b.example/a/../mcp", "https://b.example/mcp"),
            ("https://b.example", "https://b.example"),
            ("https://b.example/", "https://b.example/"),
            ("https://b.example/mcp/", "https://b.example/mcp/"),
        ] {
            assert_eq!(resource_uri("uri", typed, &[]).unwrap(), kept, "{typed}");
        }
    }

    // RFC 6749 §3.1.2, RFC 9700 §4.1.3 — N113
    #[test]
    fn a_redirect_uri_is_taken_exactly_where_a_client_could_register_it_itself() {
        for bad in [
            "javascript:alert(1)",
            "http://example.com/cb",
            "https://a/#f",
            "data:text/html,x",
            "/cb",
            "http://127.0.0.2/cb",
            "https://A.example/cb",
            "https://*.example/cb",
            "com.app:cb",
        ] {
            assert!(redirect_uri("redirect_uris", bad).is_err(), "{bad}");
        }
        for good in
            ["https://a.example", "http://127.0.0.1/cb", "com.example.app:/cb", "cursor://a/cb"]
        {
            assert_eq!(redirect_uri("redirect_uris", good).unwrap().as_str(), good);
        }
    }

    // RFC 6749 §3.3 — N115
    #[test]
    fn no_server_gets_a_scope_of_administrators_and_a_client_may_be_limited_to_one() {
        assert!(scope("graph:read broker:admin").is_err());
        assert!(scope("broker:*").is_err());
        assert_eq!(limit("broker:admin").unwrap().to_string(), "broker:admin");
        assert!(limit("a\"b").is_err() && scope("a\"b").is_err());
        assert_eq!(scope("b a").unwrap().to_string(), "a b");
    }

    #[test]
    fn a_username_is_lower_case_and_has_no_spaces() {
        assert_eq!(username("Ada@Example.com").unwrap(), "ada@example.com");
        for bad in ["", "a b", "ädä", "-a", &"x".repeat(129)] {
            assert!(username(bad).is_err(), "{bad}");
        }
    }
}
