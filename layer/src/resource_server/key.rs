//! Keys that verify: each is checked once, when it is loaded, and bound to the algorithms it may be used with.

mod small_order;

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::certificate::thumbprint_of_x5c;
use super::error::TokenError;
use super::json;
use super::jwt::UnverifiedJwt;

use small_order::has_small_order;

const MAX_KEYS: usize = 100;
const MIN_RSA_BITS: usize = 2048;

/// Why a key set (RFC 7517 §5) is not usable as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is not a JSON Web Key Set.
    #[error("is not a JSON Web Key Set")]
    NotKeySet,
    /// It has too many keys.
    #[error("has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// It has a key that cannot be used: private, weak, repeated or of an unsupported kind.
    #[error("has a key that cannot be used: private, weak, repeated or of an unsupported kind")]
    UnusableKey,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Keys that were in the document and are not used.
    pub(super) dropped: usize,
    /// Thumbprints of the certificates that were beside the keys (RFC 7517 §4.7), used or not.
    certificates: Vec<String>,
}

struct Key {
    kid: Option<String>,
    /// Entra: the issuer this key signs for; may hold `{tenantid}`.
    issuer: Option<String>,
    uses: Vec<(Algorithm, ParsedPublicKey)>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.kid)
    }
}

/// For whom a key must sign.
#[derive(Clone, Copy)]
pub(super) struct KeyOwner<'a> {
    pub(super) issuer: &'a str,
    pub(super) tenant: Option<&'a str>,
    /// Whether keys that do not say for whom they sign are out: one key set serves many tenants.
    pub(super) stated: bool,
}

impl KeySet {
    /// Parses a key set and leaves out what must not be used: private and symmetric keys, keys for encryption, keys
    /// that share a `kid`, weak or malformed keys, and keys for none of `algorithms`.
    pub(super) fn parse(unverified: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        let document = json::object(unverified).ok_or(KeySetError::NotKeySet)?;
        let members =
            document.get("keys").and_then(Value::as_array).ok_or(KeySetError::NotKeySet)?;
        if members.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let kid = |key: &Value| key.get("kid").and_then(Value::as_str).map(str::to_owned);
        let repeated = |key: &Value| {
            let name = kid(key);
            name.is_some() && members.iter().filter(|other| kid(other) == name).count() > 1
        };
        let keys: Vec<Key> = members
            .iter()
            .filter(|key| !repeated(key))
            .filter_map(|key| Key::parse(key.as_object()?, algorithms))
            .collect();
        let certificates = members.iter().filter_map(thumbprint_of_x5c).collect();
        Ok(Self { dropped: members.len().saturating_sub(keys.len()), keys, certificates })
    }

    /// # Errors
    ///
    /// [`TokenError::UnknownKey`] where no certificate with this thumbprint is beside one of the keys.
    pub(super) fn find_certificate(&self, thumbprint: &str) -> Result<(), TokenError> {
        let known = self.certificates.iter().any(|known| known == thumbprint);
        if known { Ok(()) } else { Err(TokenError::UnknownKey) }
    }

    /// Whether any certificate is.
    pub(super) const fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Whether no key can be used.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Checks one signature, or none where no key fits.
    ///
    /// The key is found in memory by its exact `kid`; a token without one needs exactly one key that fits (RFC 8725 §3.10).
    pub(super) fn verify(
        &self,
        jwt: &UnverifiedJwt<'_>,
        owner: KeyOwner<'_>,
    ) -> Result<(), TokenError> {
        let named = |key: &&Key| jwt.kid.is_none() || key.kid == jwt.kid;
        let mut known =
            self.keys.iter().filter(named).filter(|key| key.signs_for(owner)).peekable();
        if known.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        let mut fitting = known.filter_map(|key| key.used_with(jwt.algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => key
                .verify_sig(jwt.signed.as_bytes(), &jwt.signature)
                .map_err(|_| TokenError::BadSignature),
            (None, _) => Err(TokenError::AlgorithmNotAllowed),
            (Some(_), Some(_)) => Err(TokenError::UnknownKey),
        }
    }
}

/// Checks a signature with a key that came along with it (RFC 9449 §4.2), by the rules for keys of a set.
///
/// # Errors
///
/// [`TokenError::AlgorithmNotAllowed`] for a key that must not be used so, [`TokenError::BadSignature`]
pub(super) fn verify_with(
    jwk: &Map<String, Value>,
    algorithm: Algorithm,
    (signed, signature): (&[u8], &[u8]),
) -> Result<(), TokenError> {
    let key = Key::parse(jwk, &[algorithm]).ok_or(TokenError::AlgorithmNotAllowed)?;
    let key = key.used_with(algorithm).ok_or(TokenError::AlgorithmNotAllowed)?;
    key.verify_sig(signed, signature).map_err(|_| TokenError::BadSignature)
}

impl Key {
    fn parse(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Option<Self> {
        const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) || !is_for_verification(jwk) {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        };
        let stated = match jwk.get("alg") {
            None => None,
            Some(alg) => Some(alg.as_str()?.parse::<Algorithm>().ok()?),
        };
        let permitted = |alg: &Algorithm| {
            algorithms.contains(alg) && stated.is_none_or(|stated| stated == *alg)
        };
        let uses = match json::text(jwk, "kty")? {
            "RSA" => rsa(jwk, permitted)?,
            "EC" => vec![elliptic(jwk).filter(|(alg, _)| permitted(alg))?],
            "OKP" => vec![edwards(jwk).filter(|(alg, _)| permitted(alg))?],
            _ => return None,
        };
        let issuer = json::text(jwk, "issuer").map(str::to_owned);
        (!uses.is_empty()).then_some(Self { kid, issuer, uses })
    }

    fn used_with(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.uses.iter().find(|(alg, _)| *alg == algorithm).map(|(_, key)| key)
    }

    fn signs_for(&self, owner: KeyOwner<'_>) -> bool {
        match (&self.issuer, owner.tenant) {
            (None, _) => !owner.stated,
            (Some(issuer), Some(tenant)) => issuer.replace("{tenantid}", tenant) == owner.issuer,
            (Some(issuer), None) => issuer == owner.issuer,
        }
    }
}

/// `use` and `key_ops` (RFC 7517 §4.2, §4.3), where given, must name signatures.
fn is_for_verification(jwk: &Map<String, Value>) -> bool {
    let used = jwk.get("use").is_none_or(|value| value == "sig");
    let operations = jwk.get("key_ops").is_none_or(|value| {
        value.as_array().is_some_and(|operations| operations.iter().any(|op| op == "verify"))
    });
    used && operations
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(json::text(jwk, name)?).ok()
}

fn rsa(
    jwk: &Map<String, Value>,
    permitted: impl Fn(&Algorithm) -> bool,
) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    let kinds: [(Algorithm, &'static RsaParameters); 6] = [
        (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
        (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
        (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
    ];
    let without_zeros = |mut number: Vec<u8>| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.drain(..zeros);
        number
    };
    let components = RsaPublicKeyComponents {
        n: without_zeros(bytes(jwk, "n")?),
        e: without_zeros(bytes(jwk, "e")?),
    };
    // The library checks the size when it verifies; a weak key must not even count as known.
    let spare = usize::try_from(components.n.first()?.leading_zeros()).ok()?;
    let bits = components.n.len().saturating_mul(8).saturating_sub(spare);
    if !(MIN_RSA_BITS..=8192).contains(&bits) {
        return None;
    }
    kinds
        .into_iter()
        .filter(|(alg, _)| permitted(alg))
        .map(|(alg, kind)| Some((alg, components.to_parsed_public_key(kind).ok()?)))
        .collect()
}

/// The point is checked to be on the curve here, by the parser (RFC 7518 §6.2.1).
fn elliptic(jwk: &Map<String, Value>) -> Option<(Algorithm, ParsedPublicKey)> {
    let (alg, kind, size): (_, &'static dyn VerificationAlgorithm, _) =
        match json::text(jwk, "crv")? {
            "P-256" => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32),
            "P-384" => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48),
            _ => return None,
        };
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return None;
    }
    let point = [&[0x04][..], &x, &y].concat();
    Some((alg, ParsedPublicKey::new(kind, point).ok()?))
}

fn edwards(jwk: &Map<String, Value>) -> Option<(Algorithm, ParsedPublicKey)> {
    let point: [u8; 32] = bytes(jwk, "x")?.try_into().ok()?;
    if json::text(jwk, "crv")? != "Ed25519" || has_small_order(point) {
        return None;
    }
    Some((Algorithm::EdDSA, ParsedPublicKey::new(&ED25519, point).ok()?))
}

/// Checks the tag of an HS256 token in constant time.
pub(super) fn verify_shared(key: &hmac::Key, jwt: &UnverifiedJwt<'_>) -> Result<(), TokenError> {
    if jwt.algorithm != Algorithm::HS256 {
        return Err(TokenError::AlgorithmNotAllowed);
    }
    hmac::verify(key, jwt.signed.as_bytes(), &jwt.signature).map_err(|_| TokenError::BadSignature)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::small_order::SMALL_ORDER;
    use super::*;

    const P256: (&str, &str) = (
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    ); // RFC 7515 A.3

    fn ec(kid: &str) -> Value {
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": P256.0, "y": P256.1})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn kept(keys: &[Value]) -> usize {
        let document = json!({ "keys": keys }).to_string();
        KeySet::parse(document.as_bytes(), &Algorithm::ALL).unwrap().keys.len()
    }

    #[test]
    fn private_encryption_and_foreign_keys_are_left_out() {
        assert_eq!(kept(&[ec("a")]), 1);
        for bad in [
            with(ec("a"), "d", json!("AA")),
            with(ec("a"), "k", json!("AA")),
            with(ec("a"), "use", json!("enc")),
            with(ec("a"), "key_ops", json!(["sign"])),
            with(ec("a"), "alg", json!("HS256")),
            with(ec("a"), "alg", json!("ES384")),
            with(ec("a"), "crv", json!("secp256k1")),
            with(ec("a"), "kid", json!(7)),
            json!({"kty": "oct", "k": "AAAA"}),
            json!("text"),
        ] {
            assert_eq!(kept(&[bad.clone(), ec("b")]), 1, "{bad}");
        }
    }

    #[test]
    fn keys_that_share_a_kid_are_all_left_out() {
        assert_eq!(kept(&[ec("a"), ec("a"), ec("b")]), 1);
        // A private double spoils its public twin: which one signed cannot be told.
        assert_eq!(kept(&[ec("a"), with(ec("a"), "d", json!("AA"))]), 0);
    }

    // N71
    #[test]
    fn a_point_off_the_curve_or_of_wrong_length_is_left_out() {
        assert_eq!(kept(&[with(ec("a"), "y", json!(P256.0))]), 0);
        assert_eq!(
            kept(&[with(ec("a"), "x", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA"))]),
            0
        );
        let zero = URL_SAFE_NO_PAD.encode([0; 32]);
        assert_eq!(kept(&[with(with(ec("a"), "x", json!(zero)), "y", json!(zero))]), 0);
    }

    // N71
    #[test]
    fn an_ed25519_key_of_small_order_is_left_out() {
        for point in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut point = point;
                point[31] |= sign;
                let x = URL_SAFE_NO_PAD.encode(point);
                assert_eq!(kept(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})]), 0);
            }
        }
    }

    // N71
    #[test]
    fn rsa_keys_under_2048_bits_are_left_out() {
        let modulus = |bytes: usize, first: u8| {
            let mut n = vec![0xc5; bytes];
            n[0] = first;
            URL_SAFE_NO_PAD.encode(n)
        };
        let rsa = |n: String| json!({"kty": "RSA", "n": n, "e": "AQAB"});
        assert_eq!(kept(&[rsa(modulus(256, 0x80))]), 1);
        for weak in [modulus(128, 0x80), modulus(255, 0xff), modulus(256, 0x7f), String::new()] {
            assert_eq!(kept(&[rsa(weak)]), 0);
        }
        // Leading zeros do not make a weak key strong.
        let padded = URL_SAFE_NO_PAD.encode([vec![0; 128], vec![0xc5; 128]].concat());
        assert_eq!(kept(&[rsa(padded)]), 0);
    }

    #[test]
    fn more_than_a_hundred_keys_are_refused_together() {
        let keys: Vec<_> = (0..101).map(|n| ec(&n.to_string())).collect();
        let document = json!({ "keys": keys }).to_string();
        let outcome = KeySet::parse(document.as_bytes(), &Algorithm::ALL);
        assert_eq!(outcome.map(|_| ()), Err(KeySetError::TooManyKeys));
        for bad in ["{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, ""] {
            let outcome = KeySet::parse(bad.as_bytes(), &Algorithm::ALL);
            assert_eq!(outcome.map(|_| ()), Err(KeySetError::NotKeySet), "{bad}");
        }
    }
}
