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
/// Of ids with more flags than whether there are refresh tokens: a broker that knows nothing of those recognises none of
/// them, and so drops no demand.
const VERSION_WITH_DEMANDS: u8 = 2;
const REFRESH: u8 = 1;
const PUSHED: u8 = 2;
const DPOP: u8 = 4;
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
    /// Its authorization requests come by the back channel only (RFC 9126 §6).
    pub(in crate::authorization_server) pushed: bool,
    /// Each of its tokens is bound to a key (RFC 9449 §5.2).
    pub(in crate::authorization_server) dpop: bool,
}

impl Flags {
    /// The version of the id, and its flags.
    fn to_bytes(self) -> [u8; 2] {
        let set = |set: bool, bit| if set { bit } else { 0 };
        let demands = set(self.pushed, PUSHED) | set(self.dpop, DPOP);
        let version = if demands == 0 { VERSION } else { VERSION_WITH_DEMANDS };
        [version, set(self.refresh, REFRESH) | demands]
    }

    /// `None` for what this broker cannot know the meaning of.
    fn from_bytes(version: u8, bits: u8) -> Option<Self> {
        let has = |bit| bits & bit == bit;
        let flags = Self { refresh: has(REFRESH), pushed: has(PUSHED), dpop: has(DPOP) };
        (flags.to_bytes() == [version, bits]).then_some(flags)
    }
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
        let [version, flags] = flags.to_bytes();
        let mut body = vec![version];
        body.extend_from_slice(&day.to_be_bytes());
        body.push(flags);
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
        let [version, a, b, c, d, flags, ..] = *head else { return None };
        let (tags, []) = tags.as_chunks::<TAG>() else { return None };
        let day = i64::from(u32::from_be_bytes([a, b, c, d]));
        Some(StatelessId {
            issued_at: Timestamp::from_unix_seconds(day.saturating_mul(SECONDS_OF_A_DAY)),
            flags: Flags::from_bytes(version, flags)?,
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

    const REFRESHES: Flags = Flags { refresh: true, pushed: false, dpop: false };

    fn issued(ids: &StatelessIds, uris: &[&str]) -> ClientId {
        let uris: Vec<_> = uris.iter().map(|uri| RedirectUri::parse(uri).unwrap()).collect();
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        ids.issue(now, REFRESHES, Digest::of("x"), &uris).unwrap()
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

    /// RFC 9126 §6, RFC 9449 §5.2
    #[test]
    fn an_id_carries_what_the_client_demands_and_nothing_unknown_is_read() {
        let (ids, now) = (ids(1), Timestamp::from_unix_seconds(1_800_000_000));
        let uris = [RedirectUri::parse("https://a.example/cb").unwrap()];
        for bits in 0..8_u8 {
            let has = |bit| bits & bit == bit;
            let flags = Flags { refresh: has(1), pushed: has(2), dpop: has(4) };
            let id = ids.issue(now, flags, Digest::of("x"), &uris).unwrap();
            assert_eq!(ids.read(&id).unwrap().flags, flags);
            // What was issued before there were demands is as it was.
            assert_eq!(flags.to_bytes()[0] == 1, bits < 2);
        }
        for (version, bits) in [(0, 0), (1, 2), (1, 4), (2, 0), (2, 1), (1, 8), (2, 8 + 4), (3, 4)]
        {
            assert_eq!(Flags::from_bytes(version, bits), None, "{version} {bits}");
        }
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
