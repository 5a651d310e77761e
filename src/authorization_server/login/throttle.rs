//! How often somebody may guess, without letting anybody lock somebody else out (N108).
//!
//! A browser that has logged in to the account before is counted by itself: whatever others do, it may still try.
//! Every other browser is counted per account and network, per network, and per account over all networks.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::session::{CookieKind, CookieValue};
use crate::id::UserId;
use crate::limits::network;
use crate::store::{Digest, SessionRow, StoreError};
use crate::time::Timestamp;

/// How many failures within how long.
struct Bound {
    failures: u32,
    window: Duration,
}

const DEVICE: Bound = Bound { failures: 20, window: Duration::from_mins(15) };
const ACCOUNT_AND_NETWORK: Bound = Bound { failures: 10, window: Duration::from_mins(15) };
const NETWORK: Bound = Bound { failures: 200, window: Duration::from_mins(15) };
const ACCOUNT: Bound = Bound { failures: 100, window: Duration::from_hours(1) };

/// How long a browser is known after its last login with a password.
const DEVICE_KNOWN: Duration = Duration::from_hours(24 * 90);
/// What the row of a known device has as its method; such a row is no session.
pub(crate) const DEVICE_METHOD: &str = "device";

/// One try to log in to one account from one browser.
#[derive(Debug)]
pub(crate) struct Attempt {
    device: Digest,
    known: bool,
    account: String,
    network: String,
}

impl Attempt {
    /// Costs the same whether or not there is such an account.
    pub(crate) async fn new(
        server: &AuthorizationServer,
        username: &str,
        browser: &CookieValue,
        address: Option<IpAddr>,
    ) -> Result<Self, StoreError> {
        let device = device(browser, username);
        let row = server.store.find_session(&device, Timestamp::default(), server.clock.now());
        let known = row.await?.is_some();
        let account = URL_SAFE_NO_PAD.encode(Digest::of(username).as_bytes());
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        Ok(Self { device, known, account, network })
    }

    /// `Some` while it is too early for another try. Asking counts nothing, so that a lock does not grow.
    pub(crate) async fn wait(
        &self,
        server: &AuthorizationServer,
    ) -> Result<Option<Duration>, StoreError> {
        let now = server.clock.now();
        for (key, bound) in self.counters() {
            let seen = server.store.login_attempts(&key, now, bound.window).await?;
            let full = seen.failures >= bound.failures;
            if let Some(last) = seen.last_failure_at.filter(|_| full) {
                return Ok(Some(bound.window.saturating_sub(now.since(last))));
            }
        }
        Ok(None)
    }

    pub(crate) async fn failed(&self, server: &AuthorizationServer) -> Result<(), StoreError> {
        let now = server.clock.now();
        for (key, bound) in self.counters() {
            server.store.login_failed(&key, now, bound.window).await?;
        }
        Ok(())
    }

    /// Forgets the failures of this browser and this network for the account, and knows the browser from now on.
    pub(crate) async fn succeeded(
        &self,
        server: &AuthorizationServer,
        user_id: UserId,
    ) -> Result<(), StoreError> {
        server.store.forget_login_failures(&self.device_key()).await?;
        server.store.forget_login_failures(&self.pair_key()).await?;
        if self.known {
            return Ok(());
        }
        let now = server.clock.now();
        let row = SessionRow {
            session: self.device,
            user_id: Some(user_id),
            auth_time: None,
            method: Some(DEVICE_METHOD.to_owned()),
            pending: None,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(DEVICE_KNOWN),
        };
        server.store.add_session(&row).await
    }

    fn counters(&self) -> Vec<(String, Bound)> {
        if self.known {
            return vec![(self.device_key(), DEVICE)];
        }
        vec![
            (self.pair_key(), ACCOUNT_AND_NETWORK),
            (format!("network:{}", self.network), NETWORK),
            (format!("account:{}", self.account), ACCOUNT),
        ]
    }

    fn device_key(&self) -> String {
        format!("device:{}", URL_SAFE_NO_PAD.encode(self.device.as_bytes()))
    }

    fn pair_key(&self) -> String {
        format!("pair:{}:{}", self.account, self.network)
    }
}

/// Names one browser's acquaintance with one account.
fn device(browser: &CookieValue, username: &str) -> Digest {
    let browser = URL_SAFE_NO_PAD.encode(browser.digest(CookieKind::Browser).as_bytes());
    Digest::of(&format!("device|{browser}|{username}"))
}
