//! What a metadata document must say (CIMD §4).

use serde_json::Value;
use url::Url;

use crate::authorization_server::client::{AuthMethod, ClientMetadata};
use crate::redirect_uri::RedirectUri;
use crate::store::Digest;

use super::{Document, InvalidDocument};

const MAX_REDIRECT_URIS: usize = 32;

#[derive(serde::Deserialize)]
struct Published {
    client_id: String,
    #[serde(flatten)]
    metadata: Value,
}

/// Reads a document that was served at `url`.
///
/// Does *not* ask whether `url` may name a client.
///
/// # Errors
///
/// [`InvalidDocument`]
pub(in crate::authorization_server) fn parse(
    url: &str,
    unverified: &[u8],
) -> Result<Document, InvalidDocument> {
    let metadata: ClientMetadata =
        serde_json::from_slice(unverified).map_err(|_| InvalidDocument::Json)?;
    let published: Published =
        serde_json::from_slice(unverified).map_err(|_| InvalidDocument::OtherClientId)?;
    if published.client_id != url {
        return Err(InvalidDocument::OtherClientId);
    }
    without_secrets(&metadata, &published.metadata)?;
    keys(&metadata)?;
    let uris = &metadata.redirect_uris;
    let fine = (1..=MAX_REDIRECT_URIS).contains(&uris.len())
        && uris.iter().all(|uri| RedirectUri::parse(uri).is_ok());
    if !fine {
        return Err(InvalidDocument::RedirectUri);
    }
    metadata.display_name().ok_or(InvalidDocument::Name)?;
    let metadata = with_a_method(metadata);
    Ok(Document { metadata, digest: Digest::of_bytes(unverified) })
}

/// Everybody can read the document: nothing in it is a secret (CIMD §4.1).
fn without_secrets(metadata: &ClientMetadata, all: &Value) -> Result<(), InvalidDocument> {
    let secret = |method: &str| {
        AuthMethod::parse(method).is_some_and(AuthMethod::is_secret)
            || method == "client_secret_jwt"
    };
    if metadata.client_secret.is_some()
        || all.get("client_secret_expires_at").is_some_and(|value| !value.is_null())
        || metadata.token_endpoint_auth_method.as_deref().is_some_and(secret)
    {
        return Err(InvalidDocument::Secret);
    }
    Ok(())
}

fn keys(metadata: &ClientMetadata) -> Result<(), InvalidDocument> {
    const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let keys = metadata.jwks.as_ref().and_then(|jwks| jwks.get("keys"));
    let mut keys = keys.and_then(Value::as_array).into_iter().flatten();
    if keys.any(|key| PRIVATE.iter().any(|name| key.get(name).is_some())) {
        return Err(InvalidDocument::PrivateKey);
    }
    let remote = metadata.jwks_uri.as_deref();
    let fine = remote.is_none_or(|uri| {
        Url::parse(uri).is_ok_and(|url| {
            url.scheme() == "https" || matches!(url.host_str(), Some("127.0.0.1" | "[::1]"))
        })
    });
    let both = remote.is_some() && metadata.jwks.is_some();
    let by_keys = [AuthMethod::PrivateKeyJwt, AuthMethod::SelfSignedTlsClientAuth];
    let asked = metadata.token_endpoint_auth_method.as_deref();
    let asked = by_keys.into_iter().any(|method| asked == Some(method.as_str()));
    let missing = asked && remote.is_none() && metadata.jwks.is_none();
    if fine && !both && !missing { Ok(()) } else { Err(InvalidDocument::Keys) }
}

/// A document that names no method is one of a public client: the default of RFC 7591 §2 would want a secret.
/// What it cannot do is left out of its choices.
fn with_a_method(mut metadata: ClientMetadata) -> ClientMetadata {
    if let Some(choices) = &mut metadata.token_endpoint_auth_methods_supported {
        choices
            .retain(|method| AuthMethod::parse(method).is_some_and(|method| !method.is_secret()));
    }
    metadata.token_endpoint_auth_method.get_or_insert_with(|| "none".to_owned());
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://app.example/client";

    fn read(members: &str) -> Result<Document, InvalidDocument> {
        let document = format!(
            r#"{{"client_id":"{URL}","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]{members}}}"#
        );
        parse(URL, document.as_bytes())
    }

    #[test]
    fn a_document_without_a_method_is_one_of_a_public_client() {
        let document = read(r#","unknown":{"a":1}"#).unwrap();
        assert_eq!(document.metadata.auth_methods(), [AuthMethod::None]);
    }

    /// Some libraries write every member that they know.
    #[test]
    fn a_member_that_is_null_is_one_that_is_not_there() {
        let document = read(r#","client_secret":null,"client_secret_expires_at":null,"jwks":null"#);
        assert_eq!(document.unwrap().metadata.auth_methods(), [AuthMethod::None]);
    }

    // CIMD §4.1 — N98, AS-19
    #[test]
    fn secrets_and_private_keys_are_refused() {
        for (members, error) in [
            (r#","client_secret":"x""#, InvalidDocument::Secret),
            (r#","client_secret_expires_at":0"#, InvalidDocument::Secret),
            (r#","token_endpoint_auth_method":"client_secret_post""#, InvalidDocument::Secret),
            (r#","token_endpoint_auth_method":"client_secret_jwt""#, InvalidDocument::Secret),
            (r#","jwks":{"keys":[{"kty":"EC","d":"x"}]}"#, InvalidDocument::PrivateKey),
            (r#","jwks":{"keys":[{"kty":"oct","k":"x"}]}"#, InvalidDocument::PrivateKey),
            (r#","token_endpoint_auth_method":"private_key_jwt""#, InvalidDocument::Keys),
            (r#","jwks_uri":"http://a.example/k""#, InvalidDocument::Keys),
        ] {
            assert_eq!(read(members).unwrap_err(), error, "{members}");
        }
    }

    // CIMD §4 — N97, AS-17
    #[test]
    fn the_document_names_its_own_url_byte_for_byte() {
        for other in [
            "https://app.example/client/",
            "https://APP.example/client",
            "https://app.example/client#",
        ] {
            let document = format!(
                r#"{{"client_id":"{other}","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]}}"#
            );
            let read = parse(URL, document.as_bytes());
            assert_eq!(read.unwrap_err(), InvalidDocument::OtherClientId, "{other}");
        }
        assert_eq!(read(r#","client_name":"B""#).unwrap_err(), InvalidDocument::Json);
        assert!(read(r#","client_id":"https://app.example/client""#).is_err());
        assert_eq!(parse(URL, b"\xef\xbb\xbf{}").unwrap_err(), InvalidDocument::Json);
    }

    // CIMD §4 — N97, AS-17
    #[test]
    fn a_document_says_who_its_client_is_and_where_it_is_answered() {
        for (missing, error) in [
            (
                r#""client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#,
                InvalidDocument::OtherClientId,
            ),
            (r#""client_id":"%","redirect_uris":["http://127.0.0.1/cb"]"#, InvalidDocument::Name),
            (
                r#""client_id":"%","client_name":" ","redirect_uris":["http://127.0.0.1/cb"]"#,
                InvalidDocument::Name,
            ),
            (r#""client_id":"%","client_name":"App""#, InvalidDocument::RedirectUri),
        ] {
            let document = format!("{{{}}}", missing.replace('%', URL));
            assert_eq!(parse(URL, document.as_bytes()).unwrap_err(), error, "{missing}");
        }
    }

    #[test]
    fn a_bad_redirect_uri_spoils_the_document() {
        for uris in ["[]", r#"["javascript:x"]"#, r#"["https://a.example/#"]"#] {
            let document =
                format!(r#"{{"client_id":"{URL}","client_name":"App","redirect_uris":{uris}}}"#);
            let read = parse(URL, document.as_bytes());
            assert_eq!(read.unwrap_err(), InvalidDocument::RedirectUri, "{uris}");
        }
    }
}
