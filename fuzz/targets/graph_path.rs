//! A path of Graph: one that is taken is sent to Graph as it was decided about, and cannot leave its version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::graph::GraphPath;
use url::Url;

fuzz_target!(|text: &str| {
    let Ok(path) = GraphPath::parse(text) else { return };
    let origin = Url::parse("https://graph.microsoft.com").unwrap();
    let url = path.url(&origin).expect("what was parsed is what is sent");
    assert_eq!(url.host_str(), Some("graph.microsoft.com"));
    assert!(url.path().starts_with("/v1.0") || url.path().starts_with("/beta"));
    for segment in path.segments() {
        assert!(!segment.is_empty() && segment != "." && segment != "..");
        assert!(!segment.contains(['/', '\\', '\0']), "{segment:?}");
    }
    let again = GraphPath::parse(path.as_str()).expect("its own spelling is one");
    assert_eq!((again.segments(), again.as_str()), (path.segments(), path.as_str()));
});
