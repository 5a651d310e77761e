//! Who a resource server is, by its API key: as a bearer token (RFC 6750 §2.1) or as Basic (RFC 7617).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::api_key::ApiKey;
use crate::store::{ApiKeyRow, Digest, ResourceRow};
use crate::time::Timestamp;

use super::error::OAuthError;
use super::server::AuthorizationServer;

/// One text for every fault: what is wrong with a key is nothing to tell whoever sent it.
const REFUSED: OAuthError = OAuthError::InvalidClient("the API key is not valid here");

/// The resource server that sent its API key (RFC 7662 §2.1).
///
/// `Ok(None)`: no API key was sent, but perhaps other credentials; who calls must look for those. A key that is
/// garbage is refused by its checksum, without the store. Does *not* check whether the resource may see what it
/// asks for.
///
/// # Errors
///
/// - [`OAuthError::InvalidClient`][]: `401`; an unknown, late, revoked or damaged key, one of another server than
///   the Basic user name says, or one of a disabled server: not told apart
/// - [`OAuthError::InvalidRequest`][]: `400`; more than one `Authorization` (RFC 9110 §5.3)
/// - [`OAuthError::Store`][]: `503`
pub async fn authenticate(
    server: &AuthorizationServer,
    headers: &HeaderMap,
) -> Result<Option<ResourceRow>, OAuthError> {
    let Some(presented) = presented(headers)? else { return Ok(None) };
    let key = ApiKey::parse(&presented.key).ok_or(REFUSED)?;
    let now = server.clock.now();
    let row = server.store.find_api_key(key.prefix()).await?;
    let row = row.filter(|row| is_good(row, &key, now)).ok_or(REFUSED)?;
    if presented.server_id.is_some_and(|id| id != row.resource_id) {
        return Err(REFUSED);
    }
    let resource = server.store.find_resource(&row.resource_id).await?;
    let resource = resource.filter(|resource| resource.disabled_at.is_none()).ok_or(REFUSED)?;
    server.store.api_key_used(&row.prefix, now);
    Ok(Some(resource))
}

/// What came in `Authorization`, where that is meant as an API key.
struct Presented {
    server_id: Option<String>,
    key: Zeroizing<String>,
}

fn presented(headers: &HeaderMap) -> Result<Option<Presented>, OAuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(OAuthError::InvalidRequest("Authorization was sent more than once"));
    }
    let Some((scheme, credentials)) = value.to_str().ok().and_then(|text| text.split_once(' '))
    else {
        return Ok(None);
    };
    let credentials = credentials.trim();
    let found = if scheme.eq_ignore_ascii_case("bearer") {
        Some(Presented { server_id: None, key: Zeroizing::new(credentials.to_owned()) })
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(credentials)
    } else {
        None
    };
    Ok(found.filter(|found| ApiKey::is_meant(&found.key)))
}

/// RFC 7617 §2. Server ids and keys have no character that form encoding (RFC 6749 §2.3.1) would change.
fn basic(credentials: &str) -> Option<Presented> {
    let bytes = Zeroizing::new(STANDARD.decode(credentials).ok()?);
    let (id, key) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Presented { server_id: Some(id.to_owned()), key: Zeroizing::new(key.to_owned()) })
}

/// The digest is compared in constant time and first, whatever the dates say (N57).
fn is_good(row: &ApiKeyRow, key: &ApiKey, now: Timestamp) -> bool {
    let same: bool = row.key.as_bytes().ct_eq(Digest::of(key.text().expose()).as_bytes()).into();
    same && row.revoked_at.is_none() && row.expires_at.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn row(key: &ApiKey) -> ApiKeyRow {
        ApiKeyRow {
            prefix: key.prefix().to_owned(),
            key: Digest::of(key.text().expose()),
            resource_id: "weather".to_owned(),
            name: None,
            created_at: Timestamp::from_unix_seconds(0),
            expires_at: Some(Timestamp::from_unix_seconds(100)),
            last_used_at: None,
            revoked_at: None,
        }
    }

    fn sent(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    // RFC 7662 §2.1 — N77
    #[test]
    fn a_key_is_good_until_it_expires_or_is_revoked_and_only_with_its_own_secret() {
        let key = ApiKey::generate(&SystemRandom::new());
        let (before, end) = (Timestamp::from_unix_seconds(99), Timestamp::from_unix_seconds(100));
        assert!(is_good(&row(&key), &key, before));
        assert!(!is_good(&row(&key), &key, end));
        assert!(!is_good(&ApiKeyRow { revoked_at: Some(before), ..row(&key) }, &key, before));
        let other = ApiKey::generate(&SystemRandom::new());
        assert!(!is_good(
            &ApiKeyRow { key: Digest::of(other.text().expose()), ..row(&key) },
            &key,
            before
        ));
    }

    #[test]
    fn a_key_comes_as_bearer_or_as_basic_and_nothing_else_is_taken_for_one() {
        let key = ApiKey::generate(&SystemRandom::new());
        let basic = STANDARD.encode(format!("weather:{}", key.text().expose()));
        let bearer = format!("bearer {}", key.text().expose());
        let found = presented(&sent(&format!("Basic {basic}"))).unwrap().unwrap();
        assert_eq!(found.server_id.as_deref(), Some("weather"));
        assert_eq!(found.key.as_str(), key.text().expose());
        assert!(presented(&sent(&bearer)).unwrap().unwrap().server_id.is_none());
        for other in ["Bearer eyJhbGciOiJFUzI1NiJ9.e30.x", "Basic Og==", "Digest mak_a", "mak_a"] {
            assert!(presented(&sent(other)).unwrap().is_none(), "{other}");
        }
    }

    #[test]
    fn two_authorization_headers_are_refused() {
        let mut headers = sent("Bearer mak_a");
        headers.append(header::AUTHORIZATION, "Bearer mak_b".parse().unwrap());
        assert!(matches!(presented(&headers), Err(OAuthError::InvalidRequest(_))));
    }
}
