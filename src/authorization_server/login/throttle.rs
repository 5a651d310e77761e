//! How often somebody may guess, without letting anybody lock somebody else out (N108).
//!
//! A browser that has logged in to the account before is counted by itself: whatever others do, it may still try.
//! Every other browser is counted per account and site (a network as wide as one organisation has), per network, and per
//! account over all networks. The last of these keeps everybody out, so no single site can fill it: within an hour one
//! gets 40 tries at an account, and it takes 100. It is counted before anything is looked at, and a try that succeeds is
//! given back: of many at once, from however many sites, no more are looked at than one after the other. What people do once they notice, a new password or "log out everywhere",
//! therefore leaves the browser in which they do it known.
//!
//! Six digits are guessed sooner than a password, so the second step has bounds of its own, far lower, and counted apart:
//! whoever gets to it has the password. A recovery code, which nobody guesses, opens whatever others have filled.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::session::{CookieKind, CookieValue};
use crate::id::UserId;
use crate::limits::{network, site};
use crate::store::{Digest, LoginOrigin, SessionRow, StoreError, UserRow};
use crate::time::Timestamp;

/// How many attempts within how long: windows lie end to end, so that failures far apart never add up to a lock.
#[derive(Clone, Copy, Debug)]
pub(in crate::authorization_server) struct Bound {
    pub(in crate::authorization_server) most: u32,
    pub(in crate::authorization_server) window: Duration,
}

/// What is guessed at, with the bounds that it has.
#[derive(Clone, Copy, Debug)]
pub(in crate::authorization_server) struct Guessed {
    /// Part of every name that is counted: nothing that somebody types at one step counts at another.
    name: &'static str,
    device: Bound,
    account_and_site: Bound,
    /// Over all networks. `None`: nobody guesses it, so nobody is kept out.
    account: Option<Bound>,
}

const NETWORK: Bound = Bound { most: 200, window: Duration::from_mins(15) };
const PASSWORD: Guessed = Guessed {
    name: "",
    device: Bound { most: 20, window: Duration::from_mins(15) },
    account_and_site: Bound { most: 10, window: Duration::from_mins(15) },
    account: Some(Bound { most: 100, window: Duration::from_hours(1) }),
};
/// Of a million codes three count at a time: twenty tries a day find one in a year with a chance of one in fifty.
pub(in crate::authorization_server) const CODE: Guessed = Guessed {
    name: "code:",
    device: Bound { most: 10, window: Duration::from_hours(1) },
    account_and_site: Bound { most: 5, window: Duration::from_hours(24) },
    account: Some(Bound { most: 20, window: Duration::from_hours(24) }),
};
/// For the store's sake alone.
pub(in crate::authorization_server) const RECOVERY_CODE: Guessed = Guessed {
    name: "recovery:",
    device: Bound { most: 20, window: Duration::from_mins(15) },
    account_and_site: Bound { most: 20, window: Duration::from_mins(15) },
    account: None,
};
/// Nobody guesses a signature: a browser that sends many is slowed down, and keeps nobody out.
const PASSKEY: Guessed = Guessed {
    name: "passkey:",
    device: Bound { most: 20, window: Duration::from_mins(15) },
    account_and_site: Bound { most: 20, window: Duration::from_mins(15) },
    account: None,
};

// What the module promises: not even a site that fills each of its windows locks an account alone.
const _: () = assert!(PASSWORD.no_site_fills_the_account() && CODE.no_site_fills_the_account());

impl Guessed {
    const fn no_site_fills_the_account(&self) -> bool {
        let Some(account) = self.account else { return true };
        let windows = account.window.as_secs().div_ceil(self.account_and_site.window.as_secs());
        (self.account_and_site.most as u64) * windows < account.most as u64
    }
}

impl Bound {
    /// Counts one attempt under `name`, in the store: for all replicas together. `Some` where it is one too many: how long
    /// until the next window.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(in crate::authorization_server) async fn count(
        self,
        server: &AuthorizationServer,
        name: &str,
    ) -> Result<Option<Duration>, StoreError> {
        let now = server.clock.now();
        let counted = server.store.count_attempt(&key(name, self, now), now, self.window).await?;
        Ok((counted.failures > self.most).then(|| self.rest(now)))
    }

    /// Which window this is, to be counted by itself.
    fn number(self, now: Timestamp) -> i64 {
        now.unix_seconds().div_euclid(self.seconds())
    }

    /// How long until the next window.
    fn rest(self, now: Timestamp) -> Duration {
        let begun = now.unix_seconds().rem_euclid(self.seconds());
        self.window.saturating_sub(Duration::from_secs(begun.unsigned_abs()))
    }

    /// Never zero, whatever somebody sets.
    fn seconds(self) -> i64 {
        i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX).max(1)
    }
}

/// How long a browser is known after its last login with a password.
const DEVICE_KNOWN: Duration = Duration::from_hours(24 * 90);
/// What the row of a known device has as its method; such a row is no session.
pub(crate) const DEVICE_METHOD: &str = "device";

/// One try to log in to one account from one browser.
#[derive(Debug)]
pub(crate) struct Attempt {
    guessed: Guessed,
    device: Digest,
    known: bool,
    account: String,
    site: String,
    network: String,
}

impl Attempt {
    /// At a password. Costs the same whether or not there is such an account.
    pub(crate) async fn new(
        server: &AuthorizationServer,
        username: &str,
        browser: &CookieValue,
        address: Option<IpAddr>,
    ) -> Result<Self, StoreError> {
        Self::at(server, PASSWORD, username, (browser, address)).await
    }

    /// At what comes after the password.
    pub(crate) async fn at_second_step(
        server: &AuthorizationServer,
        guessed: Guessed,
        user: &UserRow,
        from: (&CookieValue, Option<IpAddr>),
    ) -> Result<Self, StoreError> {
        Self::at(server, guessed, &user.username, from).await
    }

    /// At a passkey: of who has typed their password, by the user name, else by the credential id that was sent. Costs the same
    /// whether or not there is such a credential.
    pub(crate) async fn at_passkey(
        server: &AuthorizationServer,
        name: &str,
        from: (&CookieValue, Option<IpAddr>),
    ) -> Result<Self, StoreError> {
        Self::at(server, PASSKEY, name, from).await
    }

    async fn at(
        server: &AuthorizationServer,
        guessed: Guessed,
        username: &str,
        (browser, address): (&CookieValue, Option<IpAddr>),
    ) -> Result<Self, StoreError> {
        let device = device(guessed, browser, username);
        let row = server.store.find_session(&device, Timestamp::default(), server.clock.now());
        let known = row.await?.is_some();
        let account = URL_SAFE_NO_PAD.encode(Digest::of(username).as_bytes());
        let named = |name: fn(IpAddr) -> String| address.map_or_else(|| "unknown".to_owned(), name);
        Ok(Self { guessed, device, known, account, site: named(site), network: named(network) })
    }

    /// Takes one of the tries of this browser, or of this account at this site and over all of them. `Some` while there is
    /// none: how long to wait.
    ///
    /// Counted before the password is looked at: of many tries at once no more get past than one after the other.
    pub(crate) async fn take(
        &self,
        server: &AuthorizationServer,
    ) -> Result<Option<Duration>, StoreError> {
        let now = server.clock.now();
        let own = self.own();
        let (network, account) = (self.network(), self.account());
        for (name, bound) in network.iter().chain(&account).chain([&own]) {
            let key = key(name, *bound, now);
            let seen = server.store.login_attempts(&key, now, bound.window).await?;
            if seen.failures >= bound.most {
                return Ok(Some(bound.rest(now)));
            }
        }
        for (name, bound) in [Some(own), account].into_iter().flatten() {
            if let Some(wait) = bound.count(server, &name).await? {
                return Ok(Some(wait));
            }
        }
        Ok(None)
    }

    /// The try led nowhere: it counts for the network of this browser, too.
    pub(crate) async fn failed(&self, server: &AuthorizationServer) -> Result<(), StoreError> {
        if let Some((name, bound)) = self.network() {
            bound.count(server, &name).await?;
        }
        Ok(())
    }

    /// The try was right: it does not count for the account over all networks.
    pub(crate) async fn give_back(&self, server: &AuthorizationServer) -> Result<(), StoreError> {
        if let Some((name, bound)) = self.account() {
            let key = key(&name, bound, server.clock.now());
            server.store.take_back_attempt(&key).await?;
        }
        Ok(())
    }

    /// Gives it back, forgets the failures of this browser, or of this site for the account, and knows the browser from now
    /// on.
    pub(crate) async fn succeeded(
        &self,
        server: &AuthorizationServer,
        user_id: UserId,
    ) -> Result<(), StoreError> {
        self.give_back(server).await?;
        let (name, bound) = self.own();
        server.store.forget_login_failures(&key(&name, bound, server.clock.now())).await?;
        know(server, self.guessed, self.device, user_id).await
    }

    /// What nobody else counts against: a known browser, else the account at this site.
    fn own(&self) -> (String, Bound) {
        let Guessed { name, device, account_and_site, .. } = self.guessed;
        if self.known {
            return (own_name(self.device), device);
        }
        (format!("{name}pair:{}:{}", self.account, self.site), account_and_site)
    }

    /// What others at this network count against, too, whatever the account.
    fn network(&self) -> Option<(String, Bound)> {
        (!self.known).then(|| (format!("network:{}", self.network), NETWORK))
    }

    /// What everybody counts against whom the account does not know.
    fn account(&self) -> Option<(String, Bound)> {
        let Guessed { name, account, .. } = self.guessed;
        let bound = account.filter(|_| !self.known)?;
        Some((format!("{name}account:{}", self.account), bound))
    }
}

/// Knows this browser from now on: it has shown by a one-time link that the account is its person's.
///
/// # Errors
///
/// [`StoreError`]
pub(super) async fn know_browser(
    server: &AuthorizationServer,
    browser: &CookieValue,
    user: &UserRow,
) -> Result<(), StoreError> {
    know(server, PASSWORD, device(PASSWORD, browser, &user.username), user.id).await
}

/// The same at the second step: it has shown a code of the app that was set up in it.
///
/// # Errors
///
/// [`StoreError`]
pub(crate) async fn know_browser_at_codes(
    server: &AuthorizationServer,
    browser: &CookieValue,
    user: &UserRow,
) -> Result<(), StoreError> {
    know(server, CODE, device(CODE, browser, &user.username), user.id).await
}

/// A browser that a person logged in with before: "log out everywhere" leaves the one known in which it is asked for.
#[derive(Debug)]
pub(crate) struct KnownBrowser {
    /// At the password, and at the second step.
    devices: Vec<(Guessed, Digest)>,
    user_id: UserId,
}

impl KnownBrowser {
    /// # Errors
    ///
    /// [`StoreError`]
    pub(crate) async fn find(
        server: &AuthorizationServer,
        headers: &HeaderMap,
        user: &UserRow,
    ) -> Result<Option<Self>, StoreError> {
        let browser = server.cookies().read(CookieKind::Browser, headers);
        let Some(browser) = browser else { return Ok(None) };
        let mut devices = Vec::new();
        for guessed in [PASSWORD, CODE] {
            let device = device(guessed, &browser, &user.username);
            let now = server.clock.now();
            if server.store.find_session(&device, Timestamp::default(), now).await?.is_some() {
                devices.push((guessed, device));
            }
        }
        Ok((!devices.is_empty()).then_some(Self { devices, user_id: user.id }))
    }

    /// # Errors
    ///
    /// [`StoreError`]
    pub(crate) async fn keep(self, server: &AuthorizationServer) -> Result<(), StoreError> {
        for (guessed, device) in self.devices {
            know(server, guessed, device, self.user_id).await?;
        }
        Ok(())
    }
}

/// With all its tries. Over the row that is there: one browser may log in twice at once.
async fn know(
    server: &AuthorizationServer,
    guessed: Guessed,
    device: Digest,
    user_id: UserId,
) -> Result<(), StoreError> {
    let now = server.clock.now();
    server.store.forget_login_failures(&key(&own_name(device), guessed.device, now)).await?;
    let row = SessionRow {
        session: device,
        user_id: Some(user_id),
        auth_time: None,
        method: Some(DEVICE_METHOD.to_owned()),
        login: LoginOrigin::default(),
        pending: None,
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(DEVICE_KNOWN),
    };
    server.store.put_session(&row).await
}

fn own_name(device: Digest) -> String {
    format!("device:{}", URL_SAFE_NO_PAD.encode(device.as_bytes()))
}

fn key(name: &str, bound: Bound, now: Timestamp) -> String {
    format!("{name}:{}", bound.number(now))
}

/// Names one browser's acquaintance with one account.
fn device(guessed: Guessed, browser: &CookieValue, username: &str) -> Digest {
    let browser = URL_SAFE_NO_PAD.encode(browser.digest(CookieKind::Browser).as_bytes());
    Digest::of(&format!("{}device|{browser}|{username}", guessed.name))
}
