use proptest::prelude::*;

use super::*;

fn registered(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

// RFC 8252 §7.3, §8.4 — N5
#[test]
fn the_port_of_a_loopback_uri_floats() {
    for (ours, theirs) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:1/"),
        ("http://[::1]/cb?a=b", "http://[::1]:65535/cb?a=b"),
        ("http://localhost/callback", "http://localhost:3118/callback"),
        ("http://localhost:8787/callback", "http://localhost/callback"),
    ] {
        assert!(registered(ours).matches(theirs), "{ours} {theirs}");
    }
}

// RFC 8252 §7.3, §8.3 — N6
#[test]
fn one_name_of_loopback_is_never_taken_for_another() {
    let names = ["127.0.0.1", "[::1]", "localhost"];
    for (ours, theirs) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
        let matches =
            registered(&format!("http://{ours}/cb")).matches(&format!("http://{theirs}:9/cb"));
        assert_eq!(matches, ours == theirs, "{ours} {theirs}");
    }
    for theirs in
        ["http://127.0.0.1:9/other", "http://127.0.0.1:9/cb?x=1", "https://127.0.0.1:9/cb"]
    {
        assert!(!registered("http://127.0.0.1/cb").matches(theirs), "{theirs}");
    }
}

// RFC 8252 §8.4, RFC 9700 §4.1.3 — N7
#[test]
fn what_only_looks_like_loopback_has_no_floating_port() {
    let ours = registered("http://127.0.0.1/cb");
    for theirs in [
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:8 0/cb",
        "http://127.1:80/cb",
        "http://0x7f.1/cb",
        "http://localhost.evil/cb",
        "http://127.0.0.1\\@evil.example/cb",
    ] {
        assert!(!ours.matches(theirs), "{theirs}");
    }
    assert!(!registered("https://a.example/cb").matches("https://a.example:8443/cb"));
}

// Nobody listens on port 0. It would be registered as `http` and yet not be told apart as loopback (found by fuzzing).
#[test]
fn loopback_with_port_0_is_not_registered() {
    for text in ["http://127.0.0.1:0/cb", "http://[::1]:0/", "http://localhost:0"] {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Malformed), "{text}");
    }
}

// RFC 9700 §4.1.3, RFC 3986 §6.2.1 — N2, N3, N4, AS-8
#[test]
fn everything_else_is_compared_byte_for_byte() {
    let ours = registered("https://client.example/cb");
    assert!(ours.matches("https://client.example/cb"));
    for theirs in [
        "https://client.example/cb/",
        "https://client.example/cb/more",
        "https://client.example/x/../cb",
        "https://client.example/%63b",
        "https://client.example/%2e%2e/cb",
        "https://client.example:443/cb",
        "https://Client.example/cb",
        "https://client.example/CB",
        "https://client.example/cb?x=1",
        "https://client.example/cb#x",
        "https://client.example@evil.example/cb",
        "https://client.example.evil/cb",
        "https://client.example\\.evil/cb",
        "https://client.example/cb\t",
        "https://client.example/cb\r\n",
        "https://client.example/cb\0",
        "https://сlient.example/cb",
        "",
    ] {
        assert!(!ours.matches(theirs), "{theirs:?}");
    }
}

// RFC 6749 §3.1.2, RFC 7591 §3.2.2 — N8
#[test]
fn a_fragment_is_refused() {
    for text in ["https://a.example/cb#x", "https://a.example/cb#", "com.example.app:/cb#x"] {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Fragment), "{text}");
    }
}

// RFC 8252 §7.1, §8.4, RFC 9700 §4.1 — N9
#[test]
fn dangerous_schemes_are_refused() {
    for text in [
        "javascript:alert(1)",
        "JavaScript://a.example/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "about:blank",
        "blob:https://a.example/x",
        "intent://a.example/#Intent;end".trim_end_matches("#Intent;end"),
        "ms-msdt:/id",
        "ftp://a.example/cb",
        "ws://a.example/cb",
        "urn:ietf:wg:oauth:2.0:oob",
        "ms-officecmd://x/",
        "chrome-extension://abc/cb",
        "view-source://a.example/",
        "ssh://a.example/cb",
        "mailto:a@b.example",
    ] {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Scheme), "{text}");
    }
    assert_eq!(RedirectUri::parse("http://a.example/cb"), Err(RedirectUriError::Unencrypted));
}

// RFC 9700 §4.1.1 — N4
#[test]
fn what_a_browser_would_rewrite_cannot_be_registered() {
    for text in [
        "https://A.example/cb",
        "https://a.example:443/cb",
        "https://a.example/x/../cb",
        "https://a.example/%2e%2e/cb",
        "https://a.example\\cb",
        " https://a.example/cb",
        "https://a.example/c b",
        "https://bücher.example/cb",
        "http://127.1/cb",
        "http://0x7f.1/cb",
        "/cb",
        "https:///cb",
    ] {
        assert!(RedirectUri::parse(text).is_err(), "{text}");
    }
    for text in ["https://u@a.example/cb", "https://u:p@a.example/cb", "https://@a.example/cb"] {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::UserInformation), "{text}");
    }
    for text in ["https://*.example/cb", "https://a.example/*"] {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Wildcard), "{text}");
    }
}

// RFC 8252 §7.1 — N92
#[test]
fn what_real_clients_register_is_accepted() {
    for text in [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
        "http://127.0.0.1:33418/",
        "http://127.0.0.1:33418",
        "https://vscode.dev/redirect",
        "https://claude.ai/api/mcp/auth_callback",
        "claude://oauth/callback",
        "https://chatgpt.com/connector_platform_oauth_redirect",
        "http://127.0.0.1:19876/mcp/oauth/callback",
        "com.example.app:/oauth2redirect",
        "raycast://oauth/callback",
        "goose://mcp/callback",
        "warp-preview://mcp/oauth",
        "myapp:/cb",
    ] {
        assert!(RedirectUri::parse(text).is_ok(), "{text}");
    }
    // Nowhere to put a code: `com.app:cb?code=…` is the name of nothing.
    assert_eq!(RedirectUri::parse("com.app:cb"), Err(RedirectUriError::Malformed));
}

fn loopback_uri() -> impl Strategy<Value = (usize, Option<u16>, String)> {
    (0..3_usize, prop::option::of(1..=u16::MAX), "(/[ab]{0,2}(\\?[ab]{0,2})?)?")
}

fn written((name, port, rest): &(usize, Option<u16>, String)) -> String {
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}{rest}", LOOPBACK[*name])
}

proptest! {
    /// Two loopback URIs mean the same exactly where name and rest agree; the port never counts.
    #[test]
    fn only_the_port_is_free(ours in loopback_uri(), theirs in loopback_uri()) {
        let same = ours.0 == theirs.0 && ours.2 == theirs.2;
        prop_assert_eq!(without_port(&written(&ours)) == without_port(&written(&theirs)), same);
    }

    /// Whatever is presented, it means a registered URI only if both have the same scheme and host for a browser too.
    #[test]
    fn a_match_never_leads_to_another_host(
        host in prop::sample::select(vec!["127.0.0.1", "localhost", "[::1]", "a.example"]),
        end in "[/:@?.a0\\\\]{0,6}",
    ) {
        let ours = if host == "a.example" { "https://a.example/" } else { "http://127.0.0.1/" };
        let scheme = if host == "a.example" { "https" } else { "http" };
        let theirs = format!("{scheme}://{host}{end}");
        if registered(ours).matches(&theirs) {
            let (ours, theirs) = (Url::parse(ours).unwrap(), Url::parse(&theirs).unwrap());
            prop_assert_eq!(ours.host_str(), theirs.host_str());
            prop_assert_eq!(theirs.username(), "");
        }
    }
}
