//! A redirect URI: one that is taken goes where it says, as it is written, and nowhere else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::redirect_uri::RedirectUri;
use url::Url;

fuzz_target!(|text: &str| {
    let Ok(uri) = RedirectUri::parse(text) else { return };
    assert_eq!(uri.as_str(), text);
    assert!(uri.matches(text));
    let url = Url::parse(text).expect("a browser can go there");
    assert!(!["javascript", "data", "vbscript", "file", "blob", "about"].contains(&url.scheme()));
    assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none());
    if url.scheme() == "http" {
        assert!(uri.is_loopback(), "in clear over a network");
    }
    // What else means the same is a port of loopback.
    let longer = format!("{text}x");
    assert!(!uri.matches(&longer));
});
