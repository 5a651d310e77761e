//! Passkeys (`WebAuthn` Level 3): what a browser is asked for, and whether its answer is right. The protocol and its
//! cryptography are webauthn-rs's; here is what of it this server wants.
//!
//! A question is sealed into the page that asks it and bound to the browser, log-in or session: until somebody answers,
//! nothing is stored. Its answer counts once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Host, Url};
use uuid::Uuid;
use webauthn_rs::prelude::{
    Credential, DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Webauthn, WebauthnBuilder, WebauthnError,
};

use super::Factors;
use crate::authorization_server::server::AuthorizationServer;
use crate::random::Random;
use crate::store::{Digest, PasskeyRow, StoreError, UserRow};
use crate::time::Timestamp;

/// How long a question may wait in a page, the person's deliberation included.
const LIVES: Duration = Duration::from_mins(10);
/// How long the browser waits for the person (§15.1 wants 5 to 10 minutes where they are verified).
const ASKS: Duration = Duration::from_mins(5);
/// §7.1: a longer credential id is refused.
const LONGEST_ID: usize = 1023;
/// Whose one-time values these are, among those that the store remembers.
const QUESTIONS: &str = "passkey";

/// The relying party that `server.public_url` is.
#[derive(Clone, Debug)]
pub(crate) struct Passkeys(Webauthn);

/// What is asked of whom: an answer to one question is none to another, nor in another browser, log-in or session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceremony<'a> {
    pub(crate) what: &'static str,
    pub(crate) whom: &'a Digest,
}

impl<'a> Ceremony<'a> {
    /// A change on the account page.
    pub(crate) const fn of_account(session: &'a Digest) -> Self {
        Self { what: "confirm", whom: session }
    }

    /// Whether nothing was shown beside the passkey: on the account page of who has no password. By a link one of before stands for the
    /// second factor.
    pub(crate) fn is_all_they_show(&self, user: &UserRow) -> bool {
        self.what == "confirm" && user.own_login.password_hash().is_none()
    }
}

/// A question, as it goes into a page.
#[derive(Debug)]
pub(crate) struct Question {
    /// `publicKey` for `navigator.credentials`, in JSON.
    pub(crate) options: String,
    pub(crate) sealed: String,
}

/// A question that came back, not answered by anybody before.
#[derive(Debug)]
pub(crate) struct Answered<S>(S);

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct UnderWay<S> {
    state: S,
    /// 128 random bits.
    id: String,
    /// In milliseconds since 1970.
    until: i64,
}

/// A passkey that somebody is about to make.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewPasskey {
    state: PasskeyRegistration,
    handle: Uuid,
    name: String,
    /// Whether they had a second factor, and have shown it.
    second: bool,
}

/// What an authenticator said, as it came.
pub(crate) struct Assertion(PublicKeyCredential);

/// An assertion that is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asserted {
    pub(crate) sign_count: u32,
    pub(crate) backed_up: bool,
}

/// Why an answer is not right. Whoever sent it is not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasskeyError {
    #[error("it cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// §6.1.1: there may be a second authenticator with the same key.
    #[error("the sign count has not grown")]
    SignCount,
    #[error("the user handle is missing, or not the one that was registered")]
    UserHandle,
    #[error("the page was in a frame of another site")]
    CrossOrigin,
    #[error("the credential id is longer than {LONGEST_ID} bytes")]
    LongId,
    #[error("the ceremony failed")]
    Ceremony(#[source] WebauthnError),
}

impl From<WebauthnError> for PasskeyError {
    fn from(error: WebauthnError) -> Self {
        match error {
            WebauthnError::CredentialPossibleCompromise => Self::SignCount,
            error => Self::Ceremony(error),
        }
    }
}

impl Passkeys {
    /// `None` where no browser would give one: not a secure context, or an IP address, which is no RP ID (§5.1.2).
    pub(crate) fn of(public_url: &Url) -> Option<Self> {
        let Some(Host::Domain(host)) = public_url.host() else { return None };
        let secure = public_url.scheme() == "https" || host == "localhost";
        let origin: Url = public_url.origin().ascii_serialization().parse().ok()?;
        let builder = secure.then(|| WebauthnBuilder::new(host, &origin).ok()).flatten()?;
        builder.rp_name("MCP Auth Broker").timeout(ASKS).build().ok().map(Self)
    }

    /// Asks for a new passkey of this person, who has shown one of these factors, which the authenticator can find by itself and verifies them for (§5.4.4).
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]: what is stored of another passkey cannot be read.
    pub(crate) fn ask_new(
        &self,
        server: &AuthorizationServer,
        ceremony: Ceremony<'_>,
        (user, name): (&UserRow, &str),
        Factors { app, passkeys: theirs }: &Factors,
    ) -> Result<Question, StoreError> {
        const CORRUPT: StoreError = StoreError::Corrupt("passkeys.user_handle");
        let handle = match theirs.first() {
            Some(row) => Uuid::parse_str(&row.user_handle).map_err(|_| CORRUPT)?,
            None => new_handle(server.random.as_ref()),
        };
        let shown = user.display_name.as_deref().filter(|name| !name.is_empty());
        let shown = shown.unwrap_or(&user.username);
        let started = self.0.start_passkey_registration(handle, &user.username, shown, None);
        let (options, state) = started.map_err(|_| StoreError::Corrupt("users.username"))?;
        let mut options = json!(options.public_key);
        // The library leaves discoverable ones to chance: without one there is no log-in without a name.
        if let Some(wanted) = options.get_mut("authenticatorSelection") {
            merge(wanted, json!({ "residentKey": "required", "requireResidentKey": true }));
        }
        // Only for the browser: no credential id is stored twice, whoever sends it.
        merge(&mut options, json!({ "excludeCredentials": descriptors(theirs)? }));
        let second = *app || !theirs.is_empty();
        let state = NewPasskey { state, handle, name: name.to_owned(), second };
        question(server, ceremony, &options, state)
    }

    /// Asks for any passkey, or for one of these; the authenticator verifies the person.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]: what is stored of one of these cannot be read.
    pub(crate) fn ask(
        &self,
        server: &AuthorizationServer,
        ceremony: Ceremony<'_>,
        of: &[PasskeyRow],
    ) -> Result<Question, StoreError> {
        let started = self.0.start_discoverable_authentication();
        let (options, state) = started.map_err(|_| StoreError::Corrupt("passkeys"))?;
        let mut options = json!(options.public_key);
        merge(&mut options, json!({ "allowCredentials": descriptors(of)? }));
        question(server, ceremony, &options, state)
    }

    /// Whether this is a passkey that answers the question (§7.1), and whether a second factor was shown before it was asked.
    ///
    /// # Errors
    ///
    /// [`PasskeyError`]
    pub(crate) fn finish_new(
        &self,
        Answered(new): Answered<NewPasskey>,
        unverified: &str,
        (user, now): (&UserRow, Timestamp),
    ) -> Result<(PasskeyRow, bool), PasskeyError> {
        let sent: RegisterPublicKeyCredential =
            serde_json::from_str(unverified).map_err(PasskeyError::Unreadable)?;
        let passkey = self.0.finish_passkey_registration(&sent, &new.state)?;
        if passkey.cred_id().len() > LONGEST_ID {
            return Err(PasskeyError::LongId);
        }
        let written = serde_json::to_string(&passkey).map_err(PasskeyError::Unreadable)?;
        let credential = Credential::from(passkey);
        let row = PasskeyRow {
            credential_id: URL_SAFE_NO_PAD.encode(&credential.cred_id),
            user_id: user.id,
            user_handle: new.handle.to_string(),
            credential: written,
            sign_count: credential.counter,
            backed_up: credential.backup_state,
            alone: true,
            name: new.name,
            created_at: now,
            last_used_at: None,
        };
        Ok((row, new.second))
    }

    /// Whether this passkey of somebody's answers the question (§7.2). Who is not known yet (`anybody`) must be named by the
    /// authenticator. The store has the last word on the sign count.
    ///
    /// # Errors
    ///
    /// [`PasskeyError`]
    pub(crate) fn finish(
        &self,
        Answered(state): Answered<DiscoverableAuthentication>,
        Assertion(sent): &Assertion,
        row: &PasskeyRow,
        anybody: bool,
    ) -> Result<Asserted, PasskeyError> {
        let handle = sent.get_user_unique_id();
        let registered = Uuid::parse_str(&row.user_handle).map_err(|_| PasskeyError::UserHandle)?;
        let named = handle.map_or(!anybody, |handle| handle == registered.as_bytes());
        if !named {
            return Err(PasskeyError::UserHandle);
        }
        let client: Value = serde_json::from_slice(&sent.response.client_data_json)
            .map_err(PasskeyError::Unreadable)?;
        if client.get("crossOrigin").is_some_and(|is| *is != json!(false)) {
            return Err(PasskeyError::CrossOrigin);
        }
        let written: Passkey =
            serde_json::from_str(&row.credential).map_err(PasskeyError::Unreadable)?;
        let mut credential = Credential::from(written);
        (credential.counter, credential.backup_state) = (row.sign_count, row.backed_up);
        let key = DiscoverableKey::from(Passkey::from(credential));
        let right = self.0.finish_discoverable_authentication_v2(sent, state, key)?;
        if !right.user_verified() {
            return Err(PasskeyError::Ceremony(WebauthnError::UserNotVerified));
        }
        Ok(Asserted { sign_count: right.counter(), backed_up: right.backup_state() })
    }
}

impl Assertion {
    /// `None` for what no script of ours sends.
    pub(crate) fn parse(unverified: &str) -> Option<Self> {
        let sent: PublicKeyCredential = serde_json::from_str(unverified).ok()?;
        (sent.get_credential_id().len() <= LONGEST_ID).then_some(Self(sent))
    }

    /// As the store knows it.
    pub(crate) fn credential_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.get_credential_id())
    }
}

/// The question that comes back with an answer. `None` where it was not asked here, is late, or was answered before: a right
/// answer opens something once, at whichever replica (§13.4.3).
///
/// # Errors
///
/// [`StoreError`]
pub(crate) async fn answered<S: DeserializeOwned>(
    server: &AuthorizationServer,
    ceremony: Ceremony<'_>,
    unverified: &str,
) -> Result<Option<Answered<S>>, StoreError> {
    let opened = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(unverified).ok()?).ok()?;
        let plain = server.encryption.open_text(&text, &ceremony.context())?;
        serde_json::from_str::<UnderWay<S>>(&plain).ok()
    };
    let Some(UnderWay { state, id, until }) = opened() else { return Ok(None) };
    let until = Timestamp::from_unix_millis(until);
    if server.clock.now() >= until {
        return Ok(None);
    }
    let first = server.store.first_use(QUESTIONS, &id, until).await?;
    Ok(first.then_some(Answered(state)))
}

impl Ceremony<'_> {
    fn context(self) -> String {
        format!("passkey {} v1|{}", self.what, self.whom.to_hex())
    }
}

fn question<S: Serialize>(
    server: &AuthorizationServer,
    ceremony: Ceremony<'_>,
    options: &Value,
    state: S,
) -> Result<Question, StoreError> {
    const NEVER: StoreError = StoreError::Corrupt("passkeys");
    let mut id = [0; 16];
    server.random.fill(&mut id);
    let until = server.clock.now().plus(LIVES).unix_millis();
    let under_way = UnderWay { state, id: URL_SAFE_NO_PAD.encode(id), until };
    let plain = serde_json::to_string(&under_way).map_err(|_| NEVER)?;
    let sealed = server.encryption.seal_text(&plain, &ceremony.context()).ok_or(NEVER)?;
    let sealed = URL_SAFE_NO_PAD.encode(sealed);
    Ok(Question { options: options.to_string(), sealed })
}

/// For `allowCredentials` and `excludeCredentials`, with what the browser said of how each is reached (§5.8.3).
fn descriptors(rows: &[PasskeyRow]) -> Result<Vec<Value>, StoreError> {
    let descriptor = |row: &PasskeyRow| {
        let written: Passkey = serde_json::from_str(&row.credential)
            .map_err(|_| StoreError::Corrupt("passkeys.credential"))?;
        let mut value = json!({ "type": "public-key", "id": row.credential_id });
        if let Some(transports) = Credential::from(written).transports {
            merge(&mut value, json!({ "transports": transports }));
        }
        Ok(value)
    };
    rows.iter().map(descriptor).collect()
}

/// Members of `from` in place of those of the same name.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Random, so that it says nothing about the person to who has the authenticator (§14.6.1).
fn new_handle(random: &dyn Random) -> Uuid {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    // WebAuthn Level 3 §5.1.2
    #[test]
    fn a_domain_in_a_secure_context_has_passkeys_and_nothing_else_has() {
        let offered = |url: &str| Passkeys::of(&url.parse().unwrap()).is_some();
        for url in [
            "https://broker.example",
            "https://broker.example:8443/one",
            "https://broker",
            "http://localhost:8080",
            "https://localhost",
        ] {
            assert!(offered(url), "{url}");
        }
        for url in [
            "http://broker.example",
            "http://127.0.0.1:8080",
            "https://192.0.2.1",
            "https://[2001:db8::1]",
            "http://[::1]:8080",
            "http://localhost.example",
        ] {
            assert!(!offered(url), "{url}");
        }
    }
}
