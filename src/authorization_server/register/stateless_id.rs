//! Client ids that carry what must not be lost: a wiped, restored or second store recognises them.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::{Choice, ConstantTimeEq};

use crate::authorization_server::server_secret::ServerSecret;
use crate::id::ClientId;
use crate::redirect_uri::{RedirectUri, without_port};
use crate::store::Digest;
use crate::time::Timestamp;

const PREFIX: &str = "dcr1.";
const VERSION: u8 = 1;
const TAG: usize = 16;
/// Version, day of issue, flags, fingerprint.
const HEAD: usize = 1 + 4 + 1 + 8;
const SECONDS_OF_A_DAY: i64 = 86_400;
/// What fits into an id of 512 characters.
pub(super) const MAX_REDIRECT_URIS: usize = 16;

/// What a client is beside its redirect URIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authorization_server) struct Flags {
    /// It wants refresh tokens.
    pub(in crate::authorization_server) refresh: bool,
}

/// Makes and reads ids `dcr1.<base64url(version, day, flags, fingerprint, a tag per redirect URI, tag)>`.
///
/// The tags are HMAC-SHA-256, cut to 128 bits, under a key that is derived from the server's secret.
pub(in crate::authorization_server) struct StatelessIds(hmac::Key);

impl std::fmt::Debug for StatelessIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An id that this server, or one with the same secret, has issued.
#[derive(Clone, Debug)]
pub(in crate::authorization_server) struct StatelessId {
    /// The day it was issued on.
    pub(in crate::authorization_server) issued_at: Timestamp,
    pub(in crate::authorization_server) flags: Flags,
    tags: Vec<[u8; TAG]>,
}

impl StatelessIds {
    pub(in crate::authorization_server) fn new(secret: &ServerSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("dynamic client ids v1")))
    }

    /// The same metadata on the same day gives the same id, so that a client that registers again and again is one.
    ///
    /// `None` for more redirect URIs than fit.
    pub(super) fn issue(
        &self,
        now: Timestamp,
        flags: Flags,
        fingerprint: Digest,
        redirect_uris: &[RedirectUri],
    ) -> Option<ClientId> {
        if redirect_uris.len() > MAX_REDIRECT_URIS {
            return None;
        }
        let day = u32::try_from(now.unix_seconds().div_euclid(SECONDS_OF_A_DAY)).ok()?;
        let mut body = vec![VERSION];
        body.extend_from_slice(&day.to_be_bytes());
        body.push(u8::from(flags.refresh));
        body.extend(fingerprint.as_bytes().iter().take(8));
        for uri in redirect_uris {
            body.extend_from_slice(&self.redirect_tag(uri.as_str()));
        }
        let tag = self.tag(b'i', &[&body]);
        body.extend_from_slice(&tag);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body)).parse().ok()
    }

    /// `None` for every id that was not issued under this key.
    pub(in crate::authorization_server) fn read(&self, id: &ClientId) -> Option<StatelessId> {
        let bytes = URL_SAFE_NO_PAD.decode(id.as_str().strip_prefix(PREFIX)?).ok()?;
        let (body, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
        if !bool::from(self.tag(b'i', &[body]).as_slice().ct_eq(tag)) {
            return None;
        }
        let (head, tags) = body.split_at_checked(HEAD)?;
        let [VERSION, a, b, c, d, flags, ..] = *head else { return None };
        let (tags, []) = tags.as_chunks::<TAG>() else { return None };
        let day = i64::from(u32::from_be_bytes([a, b, c, d]));
        Some(StatelessId {
            issued_at: Timestamp::from_unix_seconds(day.saturating_mul(SECONDS_OF_A_DAY)),
            flags: Flags { refresh: flags & 1 == 1 },
            tags: tags.to_vec(),
        })
    }

    /// Whether the client registered a redirect URI that `presented` means.
    pub(in crate::authorization_server) fn allows(
        &self,
        id: &StatelessId,
        presented: &str,
    ) -> bool {
        let tag = self.redirect_tag(presented);
        id.tags.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&tag)).into()
    }

    fn redirect_tag(&self, uri: &str) -> [u8; TAG] {
        let (start, rest) = without_port(uri);
        self.tag(b'r', &[start.as_bytes(), &[0], rest.as_bytes()])
    }

    fn tag(&self, purpose: u8, parts: &[&[u8]]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[purpose]);
        for part in parts {
            context.update(part);
        }
        let full = context.sign();
        let mut tag = [0; TAG];
        tag.iter_mut().zip(full.as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn ids(byte: u8) -> StatelessIds {
        StatelessIds::new(&ServerSecret::parse(&STANDARD.encode([byte; 32]).into()).unwrap())
    }

    fn issued(ids: &StatelessIds, uris: &[&str]) -> ClientId {
        let uris: Vec<_> = uris.iter().map(|uri| RedirectUri::parse(uri).unwrap()).collect();
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        ids.issue(now, Flags { refresh: true }, Digest::of("x"), &uris).unwrap()
    }

    #[test]
    fn another_process_with_the_same_secret_recognises_it() {
        let id = issued(&ids(1), &["http://localhost:3118/callback", "https://a.example/cb"]);
        let (again, other) = (ids(1), ids(2));
        let read = again.read(&id).unwrap();
        assert!(again.allows(&read, "http://localhost:50000/callback"));
        assert!(again.allows(&read, "https://a.example/cb"));
        assert!(!again.allows(&read, "http://127.0.0.1:3118/callback"));
        assert!(!again.allows(&read, "https://a.example:8443/cb"));
        assert!(read.flags.refresh);
        assert!(other.read(&id).is_none());
    }

    #[test]
    fn sixteen_redirect_uris_fit() {
        let uris: Vec<String> = (0..16).map(|n| format!("https://a.example/{n}")).collect();
        let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
        assert!(issued(&ids(1), &uris).as_str().len() <= 512);
    }

    proptest! {
        /// No id of an attacker's making is recognised: not one changed character.
        #[test]
        fn a_changed_id_is_unknown(at in 5_usize..100, to in "[A-Za-z0-9_-]") {
            let ids = ids(1);
            let id = issued(&ids, &["https://a.example/cb"]);
            let mut text = id.as_str().to_owned();
            prop_assume!(at < text.len() && text.get(at..=at) != Some(to.as_str()));
            text.replace_range(at..=at, &to);
            prop_assert!(ids.read(&text.parse().unwrap()).is_none());
        }

        #[test]
        fn only_registered_uris_are_allowed(ours in "[ab]{0,3}", theirs in "[ab]{0,3}") {
            let ids = ids(1);
            let id = ids.read(&issued(&ids, &[&format!("https://a.example/{ours}")])).unwrap();
            prop_assert_eq!(ids.allows(&id, &format!("https://a.example/{theirs}")), ours == theirs);
        }
    }
}
