//! What callers were shown last of the lists of each server: whoever is slow holds up nobody who asks for the lists of all.
//!
//! A list is kept for who was shown it, as their token tells them from others, and what of it is shown again is decided anew. One
//! that may be another one by now is never shown: a client that was told of a change and asks gets what changed, however long it takes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::broker::Caller;
use crate::guard::List;
use crate::id::RequestId;
use crate::policy::InForce;
use crate::resource_server::Principal;
use crate::upstream::definition::sha256;
use crate::upstream::session;

use super::visible::Entry;
use super::{LIMIT, One, names};

/// How long a list counts as the last one.
const KEPT: Duration = Duration::from_mins(10);
/// Of all of them together, in bytes.
const BYTES: u64 = 32 << 20;
/// Callers of whom it is known when there was news for them.
const CALLERS: u64 = 20_000;
/// Lists that are asked for although nobody waits for them.
const BEHIND: usize = 256;
/// What tokens of one caller differ in that mean the same: how long they last.
const OF_EACH_TOKEN: [&str; 4] = ["exp", "iat", "jti", "nbf"];

/// One caller, as a server could tell them from others: by everything that their token says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    claims: [u8; 32],
    /// By whatever token: what is news for one of theirs is for all.
    pub(super) caller: [u8; 32],
}

/// Of which server, which list, and whose.
pub(super) type Key = (Box<str>, List, Whose);

/// The server's list as one caller was shown it: each entry as the server wrote it.
pub(super) struct Last {
    one: Weak<One>,
    /// By which it was filtered.
    rules: Weak<InForce>,
    /// When it was asked for, in monotonic time.
    asked_at: Duration,
    entries: Vec<Box<RawValue>>,
}

/// What becomes of the question for a list. `None`: there is none.
pub(super) type Asked = BoxFuture<'static, Option<Arc<Last>>>;

/// Of all servers.
pub(super) struct Lasts {
    known: Cache<Key, Arc<Last>>,
    /// When a server last had news, in monotonic time; for one caller, or (`None`) for whoever asks.
    news: Cache<(Box<str>, Option<[u8; 32]>), Duration>,
    behind: Mutex<Behind>,
}

#[derive(Default)]
struct Behind {
    keys: HashSet<Key>,
    asking: JoinSet<()>,
}

/// That a list is asked for, for as long as this is there.
struct UnderWay(Weak<Lasts>, Key);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(lasts) = self.0.upgrade() {
            lasts.behind().keys.remove(&self.1);
        }
    }
}

impl Whose {
    /// `None`: their claims cannot be written, so nobody tells them from others.
    pub(super) fn of(principal: &Principal) -> Option<Self> {
        let claims = principal.claims().iter();
        let claims: BTreeMap<&String, &Value> =
            claims.filter(|(name, _)| !OF_EACH_TOKEN.contains(&name.as_str())).collect();
        let text = serde_json::to_vec(&(principal.issuer().as_str(), claims)).ok()?;
        Some(Self { claims: sha256(&text), caller: sha256(&session::whose(principal)) })
    }
}

impl Last {
    pub(super) fn new(
        one: &Arc<One>,
        (rules, asked_at): (&Arc<InForce>, Duration),
        entries: Vec<Box<RawValue>>,
    ) -> Self {
        Self { one: Arc::downgrade(one), rules: Arc::downgrade(rules), asked_at, entries }
    }

    /// As it was when it came: what its caller may not see was left out.
    pub(super) fn all(&self, server: &str, list: List) -> Vec<Box<RawValue>> {
        self.entries.iter().filter_map(|entry| names::prefixed(server, list, entry)).collect()
    }

    /// What of it `caller` may see now.
    pub(super) fn again(&self, one: &One, list: List, caller: &Caller) -> Vec<Box<RawValue>> {
        let server = &one.server;
        let deciding = server.decider.now();
        let entries = self.entries.iter().filter(|entry| {
            let known = Entry::of(server, list, entry);
            known.is_some_and(|known| deciding.shows(caller, known.thing()))
        });
        entries.filter_map(|entry| names::prefixed(&server.id, list, entry)).collect()
    }

    fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.get().len() + size_of::<Box<RawValue>>()).sum()
    }
}

impl Lasts {
    pub(super) fn new() -> Arc<Self> {
        let size = |(server, ..): &Key, last: &Arc<Last>| {
            u32::try_from(last.size() + server.len() + size_of::<(Key, Last)>()).unwrap_or(u32::MAX)
        };
        let known = Cache::builder().weigher(size).max_capacity(BYTES).time_to_live(KEPT).build();
        // A new one is always taken in: without it a list of before would be shown.
        let news = Cache::builder().eviction_policy(EvictionPolicy::lru());
        let news = news.max_capacity(CALLERS).time_to_live(KEPT).build();
        Arc::new(Self { known, news, behind: Mutex::default() })
    }

    /// The last one, if it was asked for by the rules that are in force, and there was no news since.
    pub(super) fn of(&self, key: &Key, one: &Arc<One>, now: Duration) -> Option<Arc<Last>> {
        let last = self.known.get(key)?;
        let rules = Arc::downgrade(&one.server.decider.policy.current());
        let same =
            Weak::ptr_eq(&last.one, &Arc::downgrade(one)) && Weak::ptr_eq(&last.rules, &rules);
        let is_young = now.saturating_sub(last.asked_at) < KEPT;
        (same && is_young && !self.has_news(key, last.asked_at)).then_some(last)
    }

    fn has_news(&self, (server, _, whose): &Key, since: Duration) -> bool {
        [None, Some(whose.caller)].into_iter().any(|caller| {
            let news = self.news.get(&(server.clone(), caller));
            news.is_some_and(|news| news >= since)
        })
    }

    /// What was shown before may be another one now.
    pub(super) fn note_news(&self, server: &str, whose: Option<Whose>, now: Duration) {
        self.news.insert((server.into(), whose.map(|whose| whose.caller)), now);
    }

    pub(super) fn keep(&self, key: Key, last: &Arc<Last>) {
        self.known.insert(key, Arc::clone(last));
    }

    /// This caller is shown none.
    pub(super) fn forget(&self, key: &Key) {
        self.known.invalidate(key);
    }

    /// Whether it is asked for, and nobody waits.
    pub(super) fn is_asked(&self, key: &Key) -> bool {
        self.behind().keys.contains(key)
    }

    /// Asks on, although nobody waits any more. Too many are let go.
    pub(super) fn go_on(
        self: &Arc<Self>,
        key: Key,
        (asked, one): (Asked, Arc<One>),
        request_id: RequestId,
    ) {
        let mut behind = self.behind();
        while behind.asking.try_join_next().is_some() {}
        if behind.keys.len() >= BEHIND || !behind.keys.insert(key.clone()) {
            return;
        }
        let under_way = UnderWay(Arc::downgrade(self), key);
        behind.asking.spawn(async move {
            if tokio::time::timeout(LIMIT, asked).await.is_err() {
                let (_, which, whose) = under_way.1;
                one.rest(which, Some(whose), request_id);
            }
            drop(under_way);
        });
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lasts").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use crate::resource_server::{IssuerSettings, KeySource, Verifier};
    use crate::time::{Clock as _, SystemClock};

    use super::*;

    const SECRET: &str = "32 bytes that only this test knows";

    /// Whose token has these claims.
    pub(in crate::upstream::fold) async fn principal(mut claims: Value) -> Principal {
        let (issuer, audience) = ("https://idp.example", "https://broker.example/mcp");
        claims["iss"] = json!(issuer);
        claims["aud"] = json!(audience);
        claims["exp"] = json!(SystemClock.now().plus_seconds(60).unix_seconds());
        let coded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = [coded(&json!({ "alg": "HS256", "typ": "JWT" })), coded(&claims)].join(".");
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let code = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        let keys = KeySource::SharedSecret(SECRET.to_owned().into());
        let settings =
            IssuerSettings::new(issuer.parse().unwrap(), vec![audience.to_owned()], keys);
        let verifier = Verifier::builder().issuer(settings).build().unwrap();
        verifier.verify(&format!("{signed}.{code}")).await.unwrap()
    }

    async fn whose(subject: &str, client: &str, scope: &str) -> Whose {
        let claims = json!({ "sub": subject, "client_id": client, "scope": scope });
        Whose::of(&principal(claims).await).unwrap()
    }

    fn key(server: &str, whose: Whose) -> Key {
        (server.into(), List::Tools, whose)
    }

    /// A client may listen with one token and list with another.
    #[tokio::test]
    async fn news_for_one_token_of_a_caller_is_news_for_all_of_theirs() {
        let (lasts, at) = (Lasts::new(), Duration::from_secs(5));
        let listener = whose("ada", "agent", "a:read").await;
        let asker = whose("ada", "agent", "a:read a:write").await;
        assert_ne!(listener, asker);
        lasts.note_news("weather", Some(listener), at);
        assert!(lasts.has_news(&key("weather", asker), at));
        assert!(!lasts.has_news(&key("weather", asker), at + at), "it was asked for since");
        assert!(!lasts.has_news(&key("mail", asker), at));
        for other in [whose("eve", "agent", "a:read").await, whose("ada", "tool", "a:read").await] {
            assert!(!lasts.has_news(&key("weather", other), at));
        }
        lasts.note_news("mail", None, at);
        assert!(lasts.has_news(&key("mail", whose("eve", "agent", "").await), at));
    }

    /// Else a list of before would be shown to who was told that it changed.
    #[test]
    fn what_is_news_now_is_known_however_much_was_before() {
        let (lasts, at) = (Lasts::new(), Duration::from_secs(5));
        let whose = |number: u64| {
            let mut caller = [0; 32];
            caller[24..].copy_from_slice(&number.to_be_bytes());
            Whose { claims: [0; 32], caller }
        };
        for number in 0..CALLERS + 1_000 {
            lasts.note_news("weather", Some(whose(number)), at);
        }
        lasts.news.run_pending_tasks();
        assert!(
            (CALLERS..CALLERS + 1_000).all(|late| lasts.has_news(&key("weather", whose(late)), at))
        );
    }
}
