//! What a provider is asked with when a log-in begins there.

use std::collections::HashMap;

use crate::fake_http::loopback_client;
use crate::random::SystemRandom;
use crate::resource_server::SignedJwts;
use crate::time::SystemClock;

use super::*;

/// What a provider with this issuer is asked with when a log-in begins there.
async fn asked(issuer: &str, keep_tokens: bool) -> HashMap<String, String> {
    let (clock, outbound): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), loopback_client());
    let at = |path: &str| format!("https://idp.example/{path}").parse::<Url>().unwrap();
    let keys = SignedJwts::new(issuer, at("jwks"), &[], outbound.clone(), Arc::clone(&clock));
    let metadata = Metadata {
        authorization: at("authorize"),
        token: at("token"),
        secret_in_body: false,
        states_issuer: false,
        offline_access: false,
        who: Who::IdToken(keys, None),
    };
    let standing = Standing { keep_tokens, ..Standing::default() };
    let settings = IdentityProviderSettings { standing, ..IdentityProviderSettings::of(issuer) };
    let provider = Provider {
        redirect_uri: at("back"),
        discovery: Arc::new(Discovery::knowing(metadata, &clock)),
        silence: Silence::default(),
        settings,
        outbound,
        clock,
    };
    let nothing = ((Freshness::default(), Vec::new()), None);
    let start = provider.start(String::new(), None, nothing, &SystemRandom::new()).await.unwrap();
    start.url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn google_alone_is_asked_for_a_refresh_token_by_access_type_and_where_it_is_kept_alone() {
    let google = "https://accounts.google.com";
    for (issuer, keep_tokens, access_type, prompt) in [
        (google, true, Some("offline"), Some("consent")),
        (google, false, None, None),
        ("https://idp.example", true, None, None),
    ] {
        let asked = asked(issuer, keep_tokens).await;
        let asked = |name: &str| asked.get(name).map(String::as_str);
        let told = (asked("access_type"), asked("prompt"));
        assert_eq!(told, (access_type, prompt), "{issuer} {keep_tokens}");
        assert_eq!(asked("scope"), Some("openid"), "neither lists offline_access");
    }
}
