//! A person's token exchanged for another: Entra's on-behalf-of flow.

use super::*;
use crate::secret_text::SecretText;

async fn asked(bench: &Bench) -> Result<(SecretText, Duration), TokenError> {
    let assertion = SecretText::new("CANARY.of.ada".to_owned());
    let asked = (&assertion, "api://weather/read");
    bench.tokens.on_behalf_of(&bench.profile, asked, &bench.secrets, &bench.budget()).await
}

#[tokio::test]
async fn a_persons_token_is_exchanged_and_nothing_is_kept() {
    let bench = bench(vec![granted("t1", ""), granted("t2", "")]).await;
    assert_eq!(asked(&bench).await.unwrap().0.expose(), "t1");
    assert_eq!(asked(&bench).await.unwrap().0.expose(), "t2");
    let request = &bench.fake.requests()[0];
    for part in [
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer",
        "requested_token_use=on_behalf_of",
        "assertion=CANARY.of.ada",
        "scope=api%3A%2F%2Fweather%2Fread",
        "client_secret=CANARY-secret-0001",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[tokio::test]
async fn a_federated_app_exchanges_without_a_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first.a.b").unwrap();
    let path = file.path().to_owned();
    let bench = bench_with(vec![granted("t1", "")], |_| Credential::FederatedTokenFile(path)).await;
    assert!(asked(&bench).await.is_ok());
    let request = &bench.fake.requests()[0];
    assert!(
        request.contains("client_assertion=first.a.b")
            && request.contains("assertion=CANARY.of.ada")
    );
    assert!(bench.secrets.asked().is_empty());
}

#[tokio::test]
async fn what_the_provider_wants_of_the_person_is_kept_for_their_client_alone() {
    let claims = r#"{\"access_token\":{\"acrs\":{\"essential\":true,\"value\":\"c1\"}}}"#;
    let body = format!(
        r#"{{"error":"interaction_required","error_codes":[50076],"error_description":"CANARY","claims":"{claims}"}}"#
    );
    let bench = bench(vec![Act::json(400, &body)]).await;
    let error = asked(&bench).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::ProviderAuthFailed, Some(Detail::InteractionRequired))
    );
    let diagnostics = error.diagnostics().unwrap();
    assert!(diagnostics.claims.as_deref().unwrap().contains(r#""value":"c1""#));
    assert!(!serde_json::to_string(diagnostics).unwrap().contains("c1"), "not in answers of ours");
}

#[tokio::test]
async fn claims_that_are_no_claims_request_are_dropped() {
    for odd in [r#""a\nb""#, "\"x\"", "7", "\"[]\""] {
        let body = format!(r#"{{"error":"interaction_required","claims":{odd}}}"#);
        let bench = bench(vec![Act::json(400, &body)]).await;
        let error = asked(&bench).await.unwrap_err();
        let claims = error.diagnostics().and_then(|diagnostics| diagnostics.claims.clone());
        assert_eq!(claims, None, "{odd}");
    }
}

#[tokio::test]
async fn a_managed_identity_exchanges_nothing_and_asks_nobody() {
    let credential = |fake: &FakeHttp| {
        let (endpoint, client_id) = (fake.origin.clone(), None);
        Credential::ManagedIdentity(ManagedIdentity::Imds { endpoint, client_id })
    };
    let bench = bench_with(vec![granted("t1", "")], credential).await;
    assert_eq!(asked(&bench).await.unwrap_err().detail(), Some(Detail::OboNotAllowed));
    assert_eq!(bench.calls(), 0);
}
