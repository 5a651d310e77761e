//! Keys in a real store: who signs, who verifies, what is sealed, what the old file becomes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::authorization_server::seal::KeyEncryptionKey;
use crate::store::{Database, SigningKeyRow, SigningKeyState, StoreSettings, open};
use crate::time::{FixedClock, Timestamp};

use super::{
    Algorithms, KeyError, KeyRing, KeySettings, Refreshed, SigningAlgorithm, SigningKeys, TokenType,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

struct Site {
    directory: TempDir,
    store: Arc<dyn Database>,
    clock: Arc<FixedClock>,
}

impl Site {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(NOW));
        let settings = StoreSettings::Sqlite(directory.path().join("broker.db"));
        let store = open(&settings, Arc::<FixedClock>::clone(&clock)).await.unwrap();
        Self { directory, store, clock }
    }

    fn settings(&self, kek: u8, algorithm: SigningAlgorithm) -> KeySettings {
        KeySettings {
            store: Arc::clone(&self.store),
            encryption: KeyEncryptionKey::parse(&STANDARD.encode([kek; 32]).into()).unwrap(),
            algorithms: Algorithms::new(algorithm, []),
            longest_token: Duration::from_hours(1),
            signs_for: Some(Duration::from_hours(24)),
            clock: Arc::<FixedClock>::clone(&self.clock),
        }
    }

    async fn try_ring(&self, kek: u8, algorithm: SigningAlgorithm) -> Result<KeyRing, KeyError> {
        KeyRing::from_store(self.settings(kek, algorithm), self.directory.path()).await
    }

    async fn ring(&self) -> KeyRing {
        self.try_ring(1, SigningAlgorithm::Es256).await.unwrap()
    }

    /// ES256, and RS256 for who wants it.
    fn both(&self) -> KeySettings {
        let algorithms = Algorithms::new(SigningAlgorithm::Es256, [SigningAlgorithm::Rs256]);
        KeySettings { algorithms, ..self.es256() }
    }

    async fn ring_of_both(&self) -> KeyRing {
        KeyRing::from_store(self.both(), self.directory.path()).await.unwrap()
    }

    fn es256(&self) -> KeySettings {
        self.settings(1, SigningAlgorithm::Es256)
    }

    fn minutes_pass(&self, minutes: u64) {
        self.clock.advance(Duration::from_mins(minutes));
    }

    async fn rows(&self) -> Vec<SigningKeyRow> {
        self.store.signing_keys().await.unwrap()
    }
}

fn signer(ring: &KeyRing) -> String {
    ring.current().signing().unwrap().kid.clone()
}

fn published(ring: &KeyRing) -> Vec<String> {
    let kid = |key: jsonwebtoken::jwk::Jwk| key.common.key_id.unwrap();
    ring.current().jwks().keys.into_iter().map(kid).collect()
}

#[tokio::test]
async fn a_second_start_has_the_same_key() {
    let site = Site::new().await;
    let (first, second) = (site.ring().await, site.ring().await);
    assert_eq!(first.current().jwks(), second.current().jwks());
    assert_eq!(second.refresh().await.unwrap(), Refreshed::Same);
}

#[tokio::test]
async fn replicas_that_start_together_have_one_key() {
    let site = Site::new().await;
    let rings = [site.ring(), site.ring(), site.ring(), site.ring()];
    let rings = futures_util::future::join_all(rings).await;
    for ring in &rings {
        assert_eq!(published(ring), published(&rings[0]));
    }
}

#[tokio::test]
async fn a_new_key_is_published_five_minutes_before_it_signs() {
    let site = Site::new().await;
    let ring = site.ring().await;
    let first = signer(&ring);
    let new = site.es256().rotate().await.unwrap().remove(0);
    assert_eq!(ring.refresh().await.unwrap(), Refreshed::Changed);
    assert!(published(&ring).contains(&new.kid));
    site.minutes_pass(5);
    ring.refresh().await.unwrap();
    assert_eq!(signer(&ring), first, "others may have the old set cached");
    site.minutes_pass(1);
    assert_eq!(ring.refresh().await.unwrap(), Refreshed::Changed);
    assert_eq!(signer(&ring), new.kid);
}

#[tokio::test]
async fn a_key_that_has_signed_long_enough_is_replaced_once_whoever_looks() {
    let site = Site::new().await;
    let rings = [site.ring().await, site.ring().await, site.ring().await];
    let first = signer(&rings[0]);
    site.minutes_pass(24 * 60 - 1);
    assert!(!rings[0].is_due().await.unwrap());
    assert_eq!(rings[0].rotate_if_due().await.unwrap(), None);
    site.minutes_pass(1);
    let added = rings.iter().map(KeyRing::rotate_if_due);
    let added = futures_util::future::try_join_all(added).await.unwrap();
    let new: Vec<_> = added.into_iter().flatten().collect();
    assert_eq!((new.len(), site.rows().await.len()), (1, 2));
    rings[0].refresh().await.unwrap();
    assert!(published(&rings[0]).contains(&new[0]), "published before it signs");
    assert_eq!(signer(&rings[0]), first);
    assert!(!rings[0].is_due().await.unwrap(), "one is on its way");
    site.minutes_pass(6);
    rings[0].refresh().await.unwrap();
    assert_eq!(signer(&rings[0]), new[0]);
}

#[tokio::test]
async fn a_clock_that_goes_back_rotates_nothing() {
    let site = Site::new().await;
    let ring = site.ring().await;
    site.clock.step_wall(NOW.plus_seconds(-40 * 86_400));
    assert!(!ring.is_due().await.unwrap());
    assert_eq!(site.rows().await.len(), 1);
}

#[tokio::test]
async fn a_replaced_key_verifies_until_its_last_token_is_over() {
    let site = Site::new().await;
    let ring = site.ring().await;
    let first = signer(&ring);
    let new = site.es256().rotate().await.unwrap().remove(0);
    site.minutes_pass(6);
    ring.refresh().await.unwrap();
    assert_eq!(site.rows().await[0].state, SigningKeyState::Retiring);
    site.minutes_pass(61);
    ring.refresh().await.unwrap();
    assert!(published(&ring).contains(&first));
    site.minutes_pass(10);
    assert_eq!(ring.refresh().await.unwrap(), Refreshed::Removed);
    assert_eq!(published(&ring), [new.kid.as_str()]);
    assert_eq!(site.rows().await.len(), 1);
}

#[tokio::test]
async fn replicas_agree_on_who_signs_without_talking() {
    let site = Site::new().await;
    let (one, two) = (site.ring().await, site.ring().await);
    site.es256().rotate().await.unwrap();
    site.es256().rotate().await.unwrap(); // the same moment: the name decides
    for minutes in [0, 3, 3, 60, 20] {
        site.minutes_pass(minutes);
        one.refresh().await.unwrap();
        two.refresh().await.unwrap();
        one.refresh().await.unwrap();
        assert_eq!(signer(&one), signer(&two));
    }
}

#[tokio::test]
async fn a_leaked_key_is_gone_at_the_next_look() {
    let site = Site::new().await;
    let ring = site.ring().await;
    let leaked = signer(&ring);
    let new = site.es256().rotate_now().await.unwrap().remove(0);
    assert_eq!(ring.refresh().await.unwrap(), Refreshed::Removed);
    assert_eq!((signer(&ring), published(&ring)), (new.kid.clone(), vec![new.kid]));
    assert_ne!(signer(&ring), leaked);
}

#[tokio::test]
async fn another_algorithm_adds_a_key_that_takes_over() {
    let site = Site::new().await;
    let first = signer(&site.ring().await);
    let ring = site.try_ring(1, SigningAlgorithm::EdDsa).await.unwrap();
    assert_eq!((signer(&ring), published(&ring).len()), (first, 2));
    site.minutes_pass(6);
    ring.refresh().await.unwrap();
    let token = ring.current().signing().unwrap().jwt(TokenType::IdToken, &json!({})).unwrap();
    let header = jsonwebtoken::decode_header(token.expose()).unwrap();
    assert_eq!(header.alg, jsonwebtoken::Algorithm::EdDSA);
    site.try_ring(1, SigningAlgorithm::EdDsa).await.unwrap();
    assert_eq!(site.rows().await.len(), 2);
}

/// What signs for who wants RS256; the same as for everybody where there is none.
fn rs256(ring: &KeyRing) -> (String, SigningAlgorithm) {
    let keys = ring.current();
    let key = keys.signing_with(SigningAlgorithm::Rs256).unwrap();
    (key.kid.clone(), key.algorithm)
}

#[tokio::test]
async fn each_algorithm_in_use_has_a_key_from_the_first_start_on() {
    let site = Site::new().await;
    let rings = [site.ring_of_both().await, site.ring_of_both().await];
    assert_eq!(rs256(&rings[0]).1, SigningAlgorithm::Rs256);
    assert_ne!(signer(&rings[0]), rs256(&rings[0]).0);
    assert_eq!((published(&rings[0]).len(), published(&rings[1])), (2, published(&rings[0])));
    assert_eq!(rs256(&rings[1]), rs256(&rings[0]));
}

#[tokio::test]
async fn an_algorithm_that_a_resource_comes_to_want_is_published_before_it_signs() {
    let site = Site::new().await;
    let first = signer(&site.ring().await);
    let ring = site.ring_of_both().await;
    assert_eq!((rs256(&ring).0, published(&ring).len()), (first.clone(), 2));
    site.minutes_pass(6);
    assert_eq!(ring.refresh().await.unwrap(), Refreshed::Changed);
    assert_eq!((rs256(&ring).1, signer(&ring)), (SigningAlgorithm::Rs256, first));
}

#[tokio::test]
async fn keys_of_two_algorithms_follow_each_other_and_never_take_each_others_place() {
    let site = Site::new().await;
    let ring = site.ring_of_both().await;
    let (first, beside) = (signer(&ring), rs256(&ring).0);
    site.minutes_pass(24 * 60);
    let added = [ring.rotate_if_due().await.unwrap(), ring.rotate_if_due().await.unwrap()];
    assert!(added.iter().all(Option::is_some) && added[0] != added[1]);
    assert_eq!(ring.rotate_if_due().await.unwrap(), None, "both are on their way");
    site.minutes_pass(6);
    ring.refresh().await.unwrap();
    assert_eq!((Some(signer(&ring)), Some(rs256(&ring).0)), (added[0].clone(), added[1].clone()));
    let retiring = |row: &SigningKeyRow| row.state == SigningKeyState::Retiring;
    let retiring: Vec<_> = site.rows().await.into_iter().filter(retiring).collect();
    assert!(retiring.iter().all(|row| row.kid == first || row.kid == beside));
    assert_eq!(retiring.len(), 2);
}

#[tokio::test]
async fn a_replica_that_knows_no_resource_with_its_own_algorithm_leaves_those_keys_alone() {
    let site = Site::new().await;
    let (both, one) = (site.ring_of_both().await, site.ring().await);
    let (first, beside) = (signer(&both), rs256(&both).0);
    for minutes in [0, 10, 60, 20] {
        site.minutes_pass(minutes);
        one.refresh().await.unwrap();
        both.refresh().await.unwrap();
        assert_eq!(
            (signer(&one), signer(&both), rs256(&both).0),
            (first.clone(), first.clone(), beside.clone())
        );
    }
    assert_eq!(site.rows().await.len(), 2);
}

#[tokio::test]
async fn after_a_leak_every_algorithm_has_a_new_key() {
    let site = Site::new().await;
    let ring = site.ring_of_both().await;
    let (first, beside) = (signer(&ring), rs256(&ring).0);
    site.both().rotate_now().await.unwrap();
    assert_eq!(ring.refresh().await.unwrap(), Refreshed::Removed);
    assert_eq!(rs256(&ring).1, SigningAlgorithm::Rs256);
    assert!(!published(&ring).contains(&first) && !published(&ring).contains(&beside));
    assert_eq!(site.rows().await.len(), 2);
}

#[tokio::test]
async fn nothing_lies_in_clear_and_another_key_changes_nothing() {
    let site = Site::new().await;
    site.ring().await;
    let before = site.rows().await;
    let error = site.try_ring(2, SigningAlgorithm::Es256).await.unwrap_err();
    assert!(matches!(error, KeyError::WrongKey { .. }), "{error}");
    let after = site.rows().await;
    assert_eq!((after.len(), &after[0].private), (1, &before[0].private));
    let text = String::from_utf8(after[0].private.clone()).unwrap();
    assert!(text.contains("ciphertext") && !text.contains("\"d\""), "{text}");
}

/// Who can write to the store but does not know the key-encryption key gains nothing.
#[tokio::test]
async fn a_public_key_that_was_put_into_the_store_verifies_nothing() {
    let site = Site::new().await;
    let ring = site.ring().await;
    let honest = published(&ring);
    let mut row = site.rows().await.remove(0);
    row.kid = "attacker".to_owned();
    row.not_before = row.not_before.plus_seconds(1);
    site.store.add_signing_key(&row).await.unwrap();
    site.minutes_pass(1);
    ring.refresh().await.unwrap();
    assert_eq!(published(&ring), honest);
    assert!(matches!(
        site.try_ring(1, SigningAlgorithm::Es256).await,
        Err(KeyError::WrongKey { .. })
    ));
}

/// A file as earlier versions wrote it, with one key for each name in it.
fn old_file(directory: &Path, algorithms: &[SigningAlgorithm]) -> Vec<String> {
    let (mut kids, mut keys) = (Vec::new(), Vec::new());
    for algorithm in algorithms {
        let der = algorithm.generate().unwrap();
        kids.push(super::key::SigningKey::parse(*algorithm, &der).unwrap().kid);
        let pkcs8 = STANDARD.encode(&*der);
        keys.push(serde_json::json!({"algorithm": algorithm, "created_at": 1_700_000_000, "pkcs8": pkcs8}));
    }
    let path = directory.join("signing-keys.json");
    let file = serde_json::json!({ "version": 1, "keys": keys });
    fs::write(&path, file.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    kids
}

#[tokio::test]
async fn the_file_of_an_earlier_version_is_taken_in_once_and_removed() {
    let site = Site::new().await;
    let kids = old_file(site.directory.path(), &[SigningAlgorithm::EdDsa, SigningAlgorithm::Es256]);
    let ring = site.ring().await;
    assert_eq!(signer(&ring), kids[1]);
    assert!(published(&ring).contains(&kids[0]));
    assert!(!site.directory.path().join("signing-keys.json").exists());
    assert_eq!(published(&site.ring().await), published(&ring));
}

#[tokio::test]
async fn a_file_beside_a_store_with_keys_only_verifies() {
    let site = Site::new().await;
    let signs = signer(&site.ring().await);
    let kids = old_file(site.directory.path(), &[SigningAlgorithm::Es256]);
    let ring = site.ring().await;
    assert_eq!(signer(&ring), signs);
    assert!(published(&ring).contains(&kids[0]));
}

#[tokio::test]
async fn a_file_that_is_damaged_or_open_to_others_is_reported_and_kept() {
    let site = Site::new().await;
    let path = site.directory.path().join("signing-keys.json");
    fs::write(&path, "{").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let damaged = site.try_ring(1, SigningAlgorithm::Es256).await.unwrap_err();
    assert!(matches!(damaged, KeyError::CorruptFile { .. }));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = site.try_ring(1, SigningAlgorithm::Es256).await.unwrap_err();
    assert!(matches!(exposed, KeyError::Exposed { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{");
}

// RFC 7517 §9 — N74, AS-31
#[test]
fn what_is_published_has_no_private_member() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256] {
        let keys = SigningKeys::generate(algorithm).unwrap();
        let published: serde_json::Value = serde_json::from_slice(keys.jwks_json()).unwrap();
        let members = published["keys"][0].as_object().unwrap();
        for private in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
            assert!(!members.contains_key(private), "{algorithm:?} {private}");
        }
    }
}

// What we sign is read by a library that has no part in signing it.
#[test]
fn what_each_algorithm_signs_is_verified_by_another_library() {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256] {
        let keys = SigningKeys::generate(algorithm).unwrap();
        let claims = json!({ "sub": "ada", "exp": 4_102_444_800_i64 });
        let token = keys.signing().unwrap().jwt(TokenType::AccessToken, &claims).unwrap();
        let key = DecodingKey::from_jwk(&keys.jwks().keys[0]).unwrap();
        let read =
            decode::<serde_json::Value>(token.expose(), &key, &Validation::new(algorithm.jws()));
        let read = read.unwrap();
        assert_eq!((read.header.typ.as_deref(), &read.claims), (Some("at+jwt"), &claims));
        assert_eq!(read.header.kid.as_deref(), Some(keys.signing().unwrap().kid.as_str()));
    }
}
