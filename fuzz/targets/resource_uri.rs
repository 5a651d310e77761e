//! A resource's URI: where its metadata is, and a challenge that names it.
#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::resource_server::{
    Challenge, ResourceMetadata, canonical, well_known_path, well_known_url,
};
use url::Url;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

fuzz_target!(|text: &str| {
    let Ok(resource) = Url::parse(text) else { return };
    if !matches!(resource.scheme(), "http" | "https") {
        return;
    }
    assert!(resource.as_str().starts_with(canonical(&resource)));
    assert!(well_known_path(&resource).starts_with(WELL_KNOWN));
    let metadata = well_known_url(&resource);
    assert_eq!(metadata.origin(), resource.origin(), "somebody else would say who may give tokens");
    assert!(metadata.path().starts_with(WELL_KNOWN));
    let challenge = Challenge::new(&metadata).description(text).to_header_value();
    assert!(challenge.to_str().is_ok_and(|value| value.starts_with("Bearer ")));
    if let Ok(published) = ResourceMetadata::new(resource, vec![text.to_owned()]).publish() {
        black_box(published.answer(None));
    }
});
