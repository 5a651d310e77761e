//! What people have allowed: authorization requests, codes, grants, refresh tokens, consents, revocations.

use async_trait::async_trait;

use crate::id::{ClientId, GrantId, UserId};
use crate::scope::Scope;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::page::{Page, PageRequest};
use super::person::LoginOrigin;

/// An authorization request that waits for its person (or was pushed, RFC 9126).
#[derive(Clone, Debug)]
pub struct AuthorizationRequestRow {
    /// Digest of the handle in the page's URL.
    pub handle: Digest,
    pub client_id: ClientId,
    /// The validated request as JSON; its shape belongs to `authorization_server`.
    pub parameters: String,
    /// Digest of the browser session it belongs to, once there is one: no other may answer it.
    pub session: Option<Digest>,
    pub expires_at: Timestamp,
}

/// What a person (or a machine) allowed a client. Every token names its grant.
#[derive(Clone, Debug)]
pub struct GrantRow {
    pub id: GrantId,
    /// `None` for a client that acts for itself.
    pub user_id: Option<UserId>,
    pub client_id: ClientId,
    pub scopes: Scope,
    /// The one resource its tokens are for (RFC 8707).
    pub resource: String,
    /// Origin of the redirect URI, to show to people.
    pub redirect_origin: Option<String>,
    /// Digest of the client metadata document that was consented to.
    pub client_digest: Option<Digest>,
    /// When the person logged in (OIDC Core §2, `auth_time`).
    pub auth_time: Option<Timestamp>,
    /// The log-in in which they allowed it.
    pub login: LoginOrigin,
    /// JSON for later sets: `dpop_jkt`, upstream tokens (sealed), ….
    pub extra: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    /// Absolute: no refresh goes past it.
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub revoke_reason: Option<RevokeReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeReason {
    /// An authorization code came twice (OAuth 2.1 §4.1.3).
    CodeReplay,
    /// A refresh token came again after its grace (OAuth 2.1 §4.3.1).
    RefreshReuse,
    /// The client asked (RFC 7009).
    Client,
    /// The person withdrew it.
    Person,
    Administrator,
    /// Client or user was disabled or deleted.
    Disabled,
    /// The person's password was set anew.
    Password,
    /// The log-in that it comes from is over.
    LogOut,
}

/// An authorization code (RFC 6749 §4.1.2).
#[derive(Clone, Debug)]
pub struct CodeRow {
    pub code: Digest,
    pub grant_id: GrantId,
    pub client_id: ClientId,
    /// As it was requested, byte for byte.
    pub redirect_uri: String,
    /// `code_challenge`, S256 (RFC 7636 §4.2): 43 characters.
    pub code_challenge: String,
    pub nonce: Option<String>,
    /// The key that whoever redeems it must hold (RFC 9449 §10).
    pub dpop_jkt: Option<String>,
    /// Scopes of this code; the grant's may be more from earlier consents.
    pub scopes: Scope,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// What must match for a code to be redeemed.
#[derive(Clone, Debug)]
pub struct CodeRedemption {
    pub code: Digest,
    pub client_id: ClientId,
    pub redirect_uri: String,
    /// S256 of the presented `code_verifier`.
    pub code_challenge: String,
    pub now: Timestamp,
    /// Stored in the same transaction, where a refresh token is to be issued.
    pub refresh: Option<NewRefreshToken>,
}

#[derive(Clone, Debug)]
pub struct NewRefreshToken {
    pub token: Digest,
    pub scopes: Scope,
    /// The key that whoever uses it must hold (RFC 9449 §5). Its successors have the same.
    pub dpop_jkt: Option<String>,
    pub expires_at: Timestamp,
}

/// What became of a code.
#[derive(Clone, Debug)]
pub enum Redeemed {
    /// Exactly one caller gets this for one code.
    Granted { grant: Box<GrantRow>, code: Box<CodeRow> },
    /// It was used before and everything matched: the grant is revoked now.
    Replayed { grant_id: GrantId },
    /// Unknown, expired, of another client, another redirect URI or another challenge: not used up by this.
    Refused,
    /// Its grant is revoked or past its end.
    GrantEnded,
}

/// One refresh (OAuth 2.1 §4.3).
#[derive(Clone, Debug)]
pub struct RefreshRotation {
    pub presented: Digest,
    pub client_id: ClientId,
    pub successor: NewRefreshToken,
    /// The whole reply, sealed under a key derived from the *presented* token: useless to whoever reads the store.
    pub sealed_reply: Vec<u8>,
    /// Until when the same reply is given again. Absolute.
    pub replay_until: Timestamp,
    pub now: Timestamp,
}

/// What became of a refresh.
#[derive(Clone, Debug)]
pub enum Rotated {
    /// Exactly one caller gets this for one token.
    Granted {
        grant: Box<GrantRow>,
    },
    /// Somebody was faster, within the grace, and the successor is unused: give this reply again.
    SameReply {
        grant_id: GrantId,
        sealed_reply: Vec<u8>,
    },
    /// Used before, after the grace or after its successor was used: the grant is revoked now.
    Reused {
        grant_id: GrantId,
    },
    /// Unknown, expired, or of another client (which changes nothing).
    Refused,
    GrantEnded,
}

/// What a consent is remembered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentKey {
    pub user_id: UserId,
    pub client_id: ClientId,
    /// Where the answer goes: the origin, or `loopback`; behind a space the digest of the client's metadata document.
    pub redirect_class: String,
    pub resource: String,
}

/// What a person has said yes to, for one client and one resource.
#[derive(Clone, Debug)]
pub struct Consent {
    pub key: ConsentKey,
    pub scopes: Scope,
    pub granted_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The person's word that a grant rests on.
#[derive(Clone, Debug)]
pub enum ConsentUse {
    /// A yes to what they were asked: remembered, beside what they said yes to before.
    Given(Consent),
    /// An earlier yes. It has to be there still.
    Standing(ConsentKey),
}

#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    pub user_id: Option<UserId>,
    pub client_id: Option<ClientId>,
    /// Revoked and ended ones too.
    pub ended: bool,
}

/// What a token says of its grant.
#[derive(Clone, Copy, Debug)]
pub struct GrantOf<'a> {
    pub user: &'a str,
    pub client: &'a str,
    pub resource: &'a str,
}

/// An access token that was revoked by itself (RFC 7009).
#[derive(Clone, Debug)]
pub struct RevokedToken {
    pub jti: String,
    pub expires_at: Timestamp,
}

#[async_trait]
pub trait GrantStore: Send + Sync {
    async fn add_authorization_request(
        &self,
        row: &AuthorizationRequestRow,
    ) -> Result<(), StoreError>;
    async fn find_authorization_request(
        &self,
        handle: &Digest,
        now: Timestamp,
    ) -> Result<Option<AuthorizationRequestRow>, StoreError>;
    /// Binds it to a browser session. `false` where it is bound to another, gone or late.
    async fn bind_authorization_request(
        &self,
        handle: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Takes it out: exactly one caller gets it.
    async fn take_authorization_request(
        &self,
        handle: &Digest,
        now: Timestamp,
    ) -> Result<Option<AuthorizationRequestRow>, StoreError>;

    /// A grant, its first code and the consent that it rests on, all or none, for who sits in this browser session.
    /// `false` where that has ended, the client was disabled or the consent withdrawn meanwhile: what ends either finds what was allowed by it, or
    /// nothing is allowed by it any more.
    async fn add_grant_with_code(
        &self,
        session: &Digest,
        grant: &GrantRow,
        code: &CodeRow,
        consent: Option<&ConsentUse>,
    ) -> Result<bool, StoreError>;
    /// A grant alone (client credentials never need one; device flow and token exchange will).
    async fn add_grant(&self, grant: &GrantRow) -> Result<(), StoreError>;
    /// Read only: to check the request before anything is used up.
    async fn find_code(&self, code: &Digest) -> Result<Option<CodeRow>, StoreError>;
    async fn redeem_code(&self, redemption: &CodeRedemption) -> Result<Redeemed, StoreError>;
    /// Undoes what `redemption` did, for an answer that was never given: the code may be used again, its refresh token is
    /// gone. `false` where `redemption` is not what used it up.
    async fn return_code(&self, redemption: &CodeRedemption) -> Result<bool, StoreError>;
    /// Read only: the grant of a live refresh token, its scopes and its end, without using it.
    async fn find_refresh_token(
        &self,
        token: &Digest,
    ) -> Result<Option<(GrantRow, NewRefreshToken)>, StoreError>;
    async fn rotate_refresh_token(&self, rotation: &RefreshRotation)
    -> Result<Rotated, StoreError>;

    async fn find_grant(&self, id: GrantId) -> Result<Option<GrantRow>, StoreError>;
    async fn list_grants(
        &self,
        filter: &GrantFilter,
        page: &PageRequest,
    ) -> Result<Page<GrantRow>, StoreError>;
    /// `false` where it was revoked before, or there is none. Where an administrator does it, what its person had said yes to
    /// for its client is forgotten, or the client would have the next one unasked.
    async fn revoke_grant(
        &self,
        id: GrantId,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// All live grants that match. How many.
    async fn revoke_grants(
        &self,
        filter: &GrantFilter,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
    async fn revoke_access_token(&self, token: &RevokedToken) -> Result<(), StoreError>;
    /// Whether a token of this grant with this `jti` may no longer be used. From memory: called on every request.
    /// A revocation by another replica is seen within a second.
    fn is_revoked(&self, grant_id: Option<GrantId>, jti: Option<&str>) -> bool;
    /// Whether all grants of its kind that were made when this one was are over: of its person, of its client, or for its
    /// resource. From memory, as [`GrantStore::is_revoked`].
    fn are_all_revoked(&self, grant_id: GrantId, of: &GrantOf<'_>) -> bool;
    /// Whether the client was disabled when this token of its own or of anybody's had been issued already (`iat`, seconds
    /// since 1970). From memory, as [`GrantStore::is_revoked`].
    fn is_client_revoked(&self, client_id: &str, issued_at: i64) -> bool;

    async fn find_consent(
        &self,
        key: &ConsentKey,
        now: Timestamp,
    ) -> Result<Option<Consent>, StoreError>;
    /// Inserts or replaces.
    async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError>;
    async fn list_consents(&self, user_id: UserId) -> Result<Vec<Consent>, StoreError>;
    /// The person no longer allows this client anything: its consents go, its grants are revoked. How many grants.
    async fn withdraw(
        &self,
        user_id: UserId,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Remembers an assertion's `jti` (RFC 7523 §3, item 7). `true` for the first caller only.
    async fn first_use(
        &self,
        issuer: &str,
        jti: &str,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Deletes what is past its end, in bounded batches, for a minute at most. How many rows.
    async fn clean_up(&self, now: Timestamp) -> Result<u64, StoreError>;
}
