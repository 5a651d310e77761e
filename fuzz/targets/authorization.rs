//! `Authorization` and, behind line breaks, `DPoP` proofs: nobody gets in who was given no key, and answers are answers.
#![no_main]

use std::sync::{Arc, LazyLock};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::resource_server::{
    IssuerSettings, KeySource, LocalKeys, MemoryReplay, ProofChecker, ProofRequest,
    RequireTokenLayer, VerifierBuilder,
};
use mcp_auth_broker::time::{Clock, FixedClock, Timestamp};

const RESOURCE: &str = "https://broker.example/mcp";
/// The public key of RFC 7517, A.1. Nobody here has the other half.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"1",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

struct Gate {
    layer: RequireTokenLayer,
    proofs: ProofChecker,
    now: Timestamp,
}

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let now = Timestamp::from_unix_seconds(1_795_429_800);
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(now));
    let keys = KeySource::Local(Arc::new(LocalKeys::new(KEYS.as_bytes()).unwrap()));
    let issuer = "https://broker.example".parse().unwrap();
    let issuer = IssuerSettings::new(issuer, vec![RESOURCE.to_owned()], keys);
    let verifier =
        VerifierBuilder::default().issuer(issuer).clock(Arc::clone(&clock)).build().unwrap();
    let metadata =
        "https://broker.example/.well-known/oauth-protected-resource/mcp".parse().unwrap();
    let replay = Arc::new(MemoryReplay::new(clock));
    Gate {
        layer: RequireTokenLayer::new(verifier, &metadata),
        proofs: ProofChecker::new(replay, None),
        now,
    }
});

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        let name =
            if number == 0 { header::AUTHORIZATION } else { http::HeaderName::from_static("dpop") };
        headers.append(name, value);
    }
    let refusal = GATE.layer.verify(&headers).now_or_never().expect("nobody is asked").unwrap_err();
    let answer = GATE.layer.refuse::<Vec<u8>>(refusal);
    assert!(matches!(answer.status().as_u16(), 400 | 401), "{}", answer.status());
    let urls = [RESOURCE.parse().unwrap()];
    let request =
        ProofRequest { method: "POST", urls: &urls, access_token: None, key: None, now: GATE.now };
    let proven = GATE.proofs.check(&headers, request).now_or_never().expect("kept in memory");
    assert!(proven.is_err());
});
