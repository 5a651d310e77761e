//! A key as a row of the store: the private half sealed, bound to its name and algorithm.

use crate::authorization_server::seal::{KeyEncryptionKey, Sealed};
use crate::store::{SigningKeyRow, SigningKeyState};
use crate::time::Timestamp;

use super::algorithm::SigningAlgorithm;
use super::error::KeyError;
use super::key::SigningKey;

/// A new key that signs from `not_before` on.
pub(super) fn generate(
    algorithm: SigningAlgorithm,
    encryption: &KeyEncryptionKey,
    (now, not_before): (Timestamp, Timestamp),
) -> Result<SigningKeyRow, KeyError> {
    let der = algorithm.generate().ok_or(KeyError::Generate)?;
    seal(algorithm, &der, encryption, (now, not_before)).ok_or(KeyError::Generate)
}

/// `None` where the key is none, or sealing fails.
pub(super) fn seal(
    algorithm: SigningAlgorithm,
    der: &[u8],
    encryption: &KeyEncryptionKey,
    (created_at, not_before): (Timestamp, Timestamp),
) -> Option<SigningKeyRow> {
    let key = SigningKey::parse(algorithm, der)?;
    let sealed = encryption.seal(der, &context(&key.kid, algorithm))?;
    Some(SigningKeyRow {
        public_jwk: serde_json::to_string(&key.public).ok()?,
        private: serde_json::to_vec(&sealed).ok()?,
        kid: key.kid,
        algorithm: algorithm.as_str().to_owned(),
        state: SigningKeyState::Usable,
        created_at,
        not_before,
        retire_at: None,
    })
}

/// The key of a row. Only the sealed part is believed: `public_jwk` is for people.
pub(super) fn open(
    row: &SigningKeyRow,
    encryption: &KeyEncryptionKey,
) -> Result<SigningKey, KeyError> {
    let corrupt = || KeyError::Corrupt { kid: row.kid.clone() };
    let algorithm = SigningAlgorithm::named(&row.algorithm).ok_or_else(corrupt)?;
    let sealed: Sealed = serde_json::from_slice(&row.private).map_err(|_| corrupt())?;
    let der = encryption
        .open(&sealed, &context(&row.kid, algorithm))
        .ok_or_else(|| KeyError::WrongKey { kid: row.kid.clone() })?;
    let key = SigningKey::parse(algorithm, &der).ok_or_else(corrupt)?;
    if key.kid == row.kid { Ok(key) } else { Err(corrupt()) }
}

/// Whether this is the key that the row was sealed with.
///
/// # Errors
///
/// [`KeyError`]: it is not, or the row is none of ours.
pub(in crate::authorization_server) fn opens(
    row: &SigningKeyRow,
    encryption: &KeyEncryptionKey,
) -> Result<(), KeyError> {
    open(row, encryption).map(drop)
}

/// What a sealed key belongs to: it opens as nothing else.
fn context(kid: &str, algorithm: SigningAlgorithm) -> String {
    signing_key_context(kid, algorithm.as_str())
}

/// The same, as the row has it.
#[must_use]
pub fn signing_key_context(kid: &str, algorithm: &str) -> String {
    format!("mcp-auth-broker signing key v2|{kid}|{algorithm}")
}
