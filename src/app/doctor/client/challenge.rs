//! The answer to a client's first request, which has no token: where it says that the metadata is, or who answers instead.

use http::{StatusCode, header};
use serde_json::Value;
use url::Url;

use crate::app::doctor::outside::text;
use crate::app::doctor::{Area, Step};
use crate::outbound::Answer;

use super::URL;

fn bad(found: impl Into<String>) -> Step {
    Step::bad(Area::Client, URL, found)
}

/// Where the answer to a request without a token says that the metadata is (RFC 9728 §5.1). `None`: the answer is the
/// broker's, and that header of it did not come back.
pub(super) fn challenged(answer: &Answer) -> Result<Option<Url>, Step> {
    let challenge = answer.header(&header::WWW_AUTHENTICATE).unwrap_or_default();
    if answer.status != StatusCode::UNAUTHORIZED {
        return Err(bad(format!("a request without a token is answered {}", answer.status))
            .allowed("401 Unauthorized")
            .hint(instead_of_401(answer.status)));
    }
    let named = challenge.split("resource_metadata=\"").nth(1);
    let named = named.and_then(|rest| rest.split('"').next());
    match named.and_then(|url| Url::parse(url).ok()) {
        Some(url) => Ok(Some(url)),
        None if challenge.is_empty() && is_the_brokers(answer) => Ok(None),
        None => Err(bad(
            "the 401 is not the broker's: something in front asks for a login of its own",
        )
        .allowed(NAMED)
        .hint("let the proxy pass /mcp, /.well-known/ and the OAuth endpoints without a login")),
    }
}

/// The 401 without its challenge.
pub(super) fn unnamed() -> Step {
    bad("the 401 does not say where the metadata is")
        .allowed(NAMED)
        .hint("a proxy takes WWW-Authenticate away")
}

const NAMED: &str = "WWW-Authenticate with resource_metadata (RFC 9728 §5.1)";

/// By its body: what a proxy says by itself is a page, or nothing.
fn is_the_brokers(answer: &Answer) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    text(&body, "error") == Some("unauthorized")
}

/// Who answers so, most likely, and what to change there.
fn instead_of_401(status: StatusCode) -> &'static str {
    match status {
        StatusCode::MISDIRECTED_REQUEST => {
            "let the proxy pass Host as it came, or name the other one in server.allowed_hosts"
        }
        StatusCode::FORBIDDEN => {
            "a firewall in front (WAF, allowed addresses) refuses it: let POST /mcp through"
        }
        StatusCode::NOT_FOUND => {
            "the proxy sends /mcp elsewhere, or changes the path: server.public_url has to have the path that clients use"
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            "let the proxy pass POST, GET, DELETE and OPTIONS to /mcp"
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "the proxy does not reach the broker: is it running (broker health), and at that address?"
        }
        status if status.is_redirection() => {
            "the proxy redirects, to another name or to a login page: server.public_url has to be the last name, and /mcp needs no login there"
        }
        _ => "something else answers there: look where the proxy sends POST /mcp",
    }
}
