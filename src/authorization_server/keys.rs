//! The keys that sign our tokens: made once, kept in a file that only we can read.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::time::Clock;

use super::seal::{KeyEncryptionKey, Sealed};

/// What our tokens are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 (RFC 7518 §3.4): small, fast to sign, understood everywhere.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (RFC 8037 §3.1).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA with 2,048 bits (RFC 7518 §3.3), for resource servers that know nothing else.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    const fn jws(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

/// Why there are no keys to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key file {} cannot be read or written", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the key file {} is not one that this program wrote\n  \
         hint: move it away to start with new keys; tokens signed with the old ones are refused then", path.display()
    )]
    Corrupt { path: PathBuf },
    #[error("the key file {} may be read by others than its owner\n  hint: chmod 600 {}", path.display(), path.display())]
    Exposed { path: PathBuf },
    #[error(
        "the signing keys in {} are sealed, and store.key_encryption_key is not set", path.display()
    )]
    Sealed { path: PathBuf },
    #[error(
        "the signing keys in {} were sealed with another store.key_encryption_key; nothing was changed\n  \
         hint: set the key they were sealed with", path.display()
    )]
    WrongKey { path: PathBuf },
    #[error("a signing key could not be made")]
    Generate,
}

/// Our signing keys. The last one signs; all of them verify.
pub struct SigningKeys {
    keys: Vec<SigningKey>,
}

pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) private: EncodingKey,
    public: Jwk,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u8,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    algorithm: SigningAlgorithm,
    created_at: i64,
    /// PKCS #8 DER (RFC 5958), base64. Only where there is no key-encryption key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pkcs8: Option<Zeroizing<String>>,
    /// The same, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

impl StoredKey {
    fn new(
        algorithm: SigningAlgorithm,
        created_at: i64,
        der: &[u8],
        encryption: Option<&KeyEncryptionKey>,
    ) -> Option<Self> {
        let mut key = Self { algorithm, created_at, pkcs8: None, sealed: None };
        match encryption {
            Some(encryption) => key.sealed = Some(encryption.seal(der, &key.context())?),
            None => key.pkcs8 = Some(Zeroizing::new(STANDARD.encode(der))),
        }
        Some(key)
    }

    /// What a sealed key belongs to.
    fn context(&self) -> String {
        format!("mcp-auth-broker signing key v1|{:?}|{}", self.algorithm, self.created_at)
    }

    fn der(&self, encryption: Option<&KeyEncryptionKey>) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        match (&self.sealed, &self.pkcs8, encryption) {
            (Some(sealed), _, Some(encryption)) => {
                encryption.open(sealed, &self.context()).ok_or(Unopened::WrongKey)
            }
            (Some(_), _, None) => Err(Unopened::NoKey),
            (None, Some(clear), _) => {
                STANDARD.decode(clear.as_bytes()).map(Zeroizing::new).map_err(|_| Unopened::Corrupt)
            }
            (None, None, _) => Err(Unopened::Corrupt),
        }
    }
}

/// Why a stored key cannot be used.
enum Unopened {
    NoKey,
    WrongKey,
    Corrupt,
}

impl SigningKeys {
    /// Reads the keys in `directory`, or makes the first one.
    ///
    /// The directory is created 0700 and the file 0600. A key of another algorithm than `algorithm`
    /// stays to verify, and a new one is added to sign. With a key-encryption key every key is sealed,
    /// also those that were not.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; an unreadable or damaged file is never replaced.
    pub fn load_or_create(
        directory: &Path,
        algorithm: SigningAlgorithm,
        encryption: Option<&KeyEncryptionKey>,
        clock: &dyn Clock,
    ) -> Result<Self, KeyError> {
        let path = directory.join("signing-keys.json");
        let mut file = read(&path)?.unwrap_or(KeyFile { version: 1, keys: Vec::new() });
        let mut changed = seal_all(&path, &mut file, encryption)?;
        if file.keys.last().is_none_or(|key| key.algorithm != algorithm) {
            let der = generate(algorithm).ok_or(KeyError::Generate)?;
            let key = StoredKey::new(algorithm, clock.now().unix_seconds(), &der, encryption);
            file.keys.push(key.ok_or(KeyError::Generate)?);
            changed = true;
        }
        if changed {
            write(directory, &path, &file)?;
        }
        let mut keys = Vec::with_capacity(file.keys.len());
        for stored in &file.keys {
            let der = stored.der(encryption).map_err(|why| unopened(&path, &why))?;
            let parsed = parse(stored.algorithm, &der);
            keys.push(parsed.ok_or_else(|| KeyError::Corrupt { path: path.clone() })?);
        }
        Ok(Self { keys })
    }

    /// The public keys, to publish (RFC 7517 §5). Never a private member.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: self.keys.iter().map(|key| key.public.clone()).collect() }
    }

    pub(super) fn signing(&self) -> Option<&SigningKey> {
        self.keys.last()
    }
}

/// The keys in force, replaced as a whole while requests run.
#[derive(Debug)]
pub struct KeyRing(RwLock<Arc<SigningKeys>>);

impl KeyRing {
    #[must_use]
    pub fn new(keys: Arc<SigningKeys>) -> Self {
        Self(RwLock::new(keys))
    }

    /// The keys as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn generate(algorithm: SigningAlgorithm) -> Option<Zeroizing<Vec<u8>>> {
    let pkcs8 = match algorithm {
        SigningAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
            pair.to_pkcs8v1().ok()?.as_ref().to_vec()
        }
        SigningAlgorithm::EdDsa => {
            Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?.as_ref().to_vec()
        }
        SigningAlgorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?.as_ref().to_vec()
        }
    };
    Some(Zeroizing::new(pkcs8))
}

/// Seals what lies in clear; gives whether anything was.
fn seal_all(
    path: &Path,
    file: &mut KeyFile,
    encryption: Option<&KeyEncryptionKey>,
) -> Result<bool, KeyError> {
    let mut changed = false;
    for key in &mut file.keys {
        if encryption.is_some() && key.sealed.is_none() {
            let der = key.der(encryption).map_err(|why| unopened(path, &why))?;
            let sealed = StoredKey::new(key.algorithm, key.created_at, &der, encryption);
            *key = sealed.ok_or(KeyError::Generate)?;
            changed = true;
        }
    }
    Ok(changed)
}

fn unopened(path: &Path, why: &Unopened) -> KeyError {
    let path = path.to_owned();
    match why {
        Unopened::NoKey => KeyError::Sealed { path },
        Unopened::WrongKey => KeyError::WrongKey { path },
        Unopened::Corrupt => KeyError::Corrupt { path },
    }
}

fn parse(algorithm: SigningAlgorithm, der: &[u8]) -> Option<SigningKey> {
    let private = match algorithm {
        SigningAlgorithm::Es256 => EncodingKey::from_ec_der(der),
        SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(der),
        // jsonwebtoken takes PKCS #8 for RSA as PEM only.
        SigningAlgorithm::Rs256 => EncodingKey::from_rsa_pem(pem(der).as_bytes()).ok()?,
    };
    let algorithm = algorithm.jws();
    let mut public = Jwk::from_encoding_key(&private, algorithm).ok()?;
    let kid = public.thumbprint(ThumbprintHash::SHA256).ok()?;
    public.common.key_id = Some(kid.clone());
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    Some(SigningKey { kid, algorithm, private, public })
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
    for line in body.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

fn read(path: &Path) -> Result<Option<KeyFile>, KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    match serde_json::from_slice::<KeyFile>(&text) {
        Ok(file) if file.version == 1 => Ok(Some(file)),
        _ => Err(KeyError::Corrupt { path: path.to_owned() }),
    }
}

/// Writes beside the old file and renames, so that a crash leaves the one or the other.
fn write(directory: &Path, path: &Path, file: &KeyFile) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let text =
        Zeroizing::new(serde_json::to_vec_pretty(file).map_err(|error| failed(error.into()))?);
    let temporary = path.with_extension("json.new");
    let mut options = fs::OpenOptions::new();
    let mut new = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    new.write_all(&text).and_then(|()| new.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::time::SystemClock;

    fn load(directory: &Path, algorithm: SigningAlgorithm) -> Result<SigningKeys, KeyError> {
        SigningKeys::load_or_create(directory, algorithm, None, &SystemClock)
    }

    #[test]
    fn a_second_start_has_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let first = load(directory.path(), SigningAlgorithm::Es256).unwrap();
        let second = load(directory.path(), SigningAlgorithm::Es256).unwrap();
        assert_eq!(first.jwks(), second.jwks());
    }

    #[test]
    fn only_the_owner_may_read_the_keys() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("broker-data");
        load(&data, SigningAlgorithm::Es256).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join("signing-keys.json"))), (0o700, 0o600));
        fs::set_permissions(data.join("signing-keys.json"), fs::Permissions::from_mode(0o644))
            .unwrap();
        assert!(matches!(load(&data, SigningAlgorithm::Es256), Err(KeyError::Exposed { .. })));
    }

    #[test]
    fn a_damaged_file_is_reported_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        load(directory.path(), SigningAlgorithm::Es256).unwrap();
        let path = directory.path().join("signing-keys.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(
            load(directory.path(), SigningAlgorithm::Es256),
            Err(KeyError::Corrupt { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    }

    #[test]
    fn with_a_key_encryption_key_nothing_lies_in_clear_and_another_key_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let clear = load(directory.path(), SigningAlgorithm::Es256).unwrap();
        let path = directory.path().join("signing-keys.json");
        let open = |byte: u8| {
            let key = KeyEncryptionKey::parse(&STANDARD.encode([byte; 32]).into()).unwrap();
            SigningKeys::load_or_create(
                directory.path(),
                SigningAlgorithm::Es256,
                Some(&key),
                &SystemClock,
            )
        };
        assert_eq!(open(1).unwrap().jwks(), clear.jwks());
        let sealed = fs::read_to_string(&path).unwrap();
        assert!(!sealed.contains("pkcs8"), "{sealed}");
        assert!(matches!(open(2), Err(KeyError::WrongKey { .. })));
        assert!(matches!(
            load(directory.path(), SigningAlgorithm::Es256),
            Err(KeyError::Sealed { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), sealed);
    }

    /// N74: a published key set never has a private member.
    #[test]
    fn what_is_published_has_no_private_member() {
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256]
        {
            let directory = tempfile::tempdir().unwrap();
            let keys = load(directory.path(), algorithm).unwrap();
            let published = serde_json::to_value(keys.jwks()).unwrap();
            let members = published["keys"][0].as_object().unwrap();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
                assert!(!members.contains_key(private), "{algorithm:?} {private}");
            }
        }
    }

    #[test]
    fn another_algorithm_adds_a_key_and_keeps_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        load(directory.path(), SigningAlgorithm::Es256).unwrap();
        let keys = load(directory.path(), SigningAlgorithm::EdDsa).unwrap();
        assert_eq!(keys.jwks().keys.len(), 2);
        assert_eq!(keys.signing().map(|key| key.algorithm), Some(Algorithm::EdDSA));
    }
}
