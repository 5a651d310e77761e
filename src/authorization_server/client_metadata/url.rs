//! Which URLs can name a client (CIMD §3).

use url::Url;

use crate::outbound::Outbound;

/// `None` for everything but an https URL in its normal spelling with a host name, a path and the usual port; no
/// fragment, no user name, no dot segment (N94, N97). `http` and other ports only for hosts that an
/// operator allowed for this (`authorization_server.client_metadata_private`).
pub(super) fn parse(unverified: &str, own: &Url, outbound: &Outbound) -> Option<Url> {
    let url = Url::parse(unverified).ok()?;
    // The spelling that browsers make of dot segments, numeric addresses, case, default ports and user names.
    let normal = url.as_str() == unverified && !unverified.contains(['#', '@', '\\']);
    let named = url.path() != "/" && url.host_str().is_some();
    let public = url.scheme() == "https"
        && url.port().is_none()
        && url.domain().is_some_and(|host| host.contains('.') && !host.ends_with('.'));
    let private = matches!(url.scheme(), "https" | "http") && outbound.may_be_private(&url);
    let ours = url.origin() == own.origin();
    (normal && named && !ours && (public || private)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_http::loopback_client;
    use crate::outbound::OutboundSettings;

    fn accepted(text: &str) -> bool {
        let own = "https://broker.example/".parse().unwrap();
        let outbound = Outbound::new(&OutboundSettings::default()).unwrap();
        parse(text, &own, &outbound).is_some()
    }

    // CIMD §3 — AS-18
    #[test]
    fn real_ids_are_accepted() {
        for id in [
            "https://claude.ai/oauth/claude-code-client-metadata",
            "https://vscode.dev/oauth/client-metadata.json",
            "https://chatgpt.com/oauth/abc/client.json",
        ] {
            assert!(accepted(id), "{id}");
        }
    }

    // CIMD §3, §6 — N94, N97, AS-18
    #[test]
    fn everything_else_is_no_client_id() {
        for id in [
            "http://claude.ai/x",
            "https://claude.ai",
            "https://claude.ai/",
            "https://claude.ai/x#y",
            "https://claude.ai/x#",
            "https://u@claude.ai/x",
            "https://u:p@claude.ai/x",
            "https://claude.ai/a/../x",
            "https://claude.ai/a/%2e%2e/x",
            "https://claude.ai/./x",
            "https://Claude.ai/x",
            "https://claude.ai:443/x",
            "https://claude.ai:8443/x",
            "https://claude.ai./x",
            "https://localhost/x",
            "https://127.0.0.1/x",
            "https://0x7f.1/x",
            "https://2130706433/x",
            "https://[::1]/x",
            "https://[::ffff:169.254.169.254]/x",
            "https://broker.example/x",
            "ftp://claude.ai/x",
        ] {
            assert!(!accepted(id), "{id}");
        }
    }

    #[test]
    fn plain_http_is_for_hosts_that_an_operator_allowed() {
        let own = "http://127.0.0.1:8080/".parse().unwrap();
        let parsed = |text| parse(text, &own, &loopback_client());
        assert!(parsed("http://127.0.0.1:9/client").is_some());
        assert!(parsed("http://127.0.0.1:8080/client").is_none());
        assert!(parsed("http://claude.ai/client").is_none());
    }
}
