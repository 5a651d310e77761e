//! What identity providers gave with log-ins, and what they last said of the people.

use async_trait::async_trait;

use crate::id::UserId;
use crate::time::Timestamp;

use super::error::StoreError;
use super::logout::LoggedOut;
use super::person::ExternalIdentity;

/// With what a provider is asked again about somebody.
#[derive(Clone, Debug)]
pub struct ProviderTokensRow {
    pub user_id: UserId,
    /// Of the provider.
    pub issuer: String,
    /// Sealed; its shape belongs to who seals it.
    pub sealed: String,
    /// Counted up each time something else is put there. What a log-in puts there after it was taken out has none that was there
    /// before.
    pub version: i64,
    /// The provider did not answer a moment ago: it is not asked before then.
    pub ask_at: Timestamp,
    /// When the provider last said who this is.
    pub heard_at: Timestamp,
}

/// What is known of a provider's people.
#[derive(Clone, Debug, Default)]
pub struct ProviderWord {
    /// When they last logged in there; `None`: before that was written down.
    pub logged_in_at: Option<Timestamp>,
    pub tokens: Option<ProviderTokensRow>,
}

/// Somebody has just logged in at a provider.
#[derive(Clone, Debug)]
pub struct ProviderLogin {
    pub user_id: UserId,
    pub issuer: String,
    /// Its id, where it is one of the store: nothing is kept for one that is gone or disabled.
    pub provider: Option<String>,
    pub tokens: GivenTokens,
    pub now: Timestamp,
}

/// What the provider gave with it.
#[derive(Clone, Debug)]
pub enum GivenTokens {
    /// These, sealed: what was there before gives way.
    New(String),
    /// None, though they are kept: those of an earlier log-in are used on.
    None,
    /// None are kept.
    NotKept,
}

/// A provider was asked again.
#[derive(Clone, Debug)]
pub struct ProviderAnswer {
    /// Sealed: what is asked with the next time.
    pub sealed: String,
    /// What it says of the person, written as at a log-in. `None`: it gave tokens, and nothing usable about the person.
    pub said: Option<ExternalIdentity>,
    pub now: Timestamp,
    /// It is not asked again before then.
    pub ask_at: Timestamp,
}

#[async_trait]
pub trait ProviderTokenStore: Send + Sync {
    /// Notes a log-in. `false`: the person is gone or disabled, or the provider is; nothing is kept.
    async fn put_provider_login(&self, login: &ProviderLogin) -> Result<bool, StoreError>;
    async fn find_provider_word(
        &self,
        user_id: UserId,
        issuer: &str,
    ) -> Result<ProviderWord, StoreError>;
    /// Lets one caller ask with the tokens of this version until `until`. `true` for exactly one: `false` where they were
    /// replaced, are gone, or somebody else asks.
    async fn claim_provider_tokens(
        &self,
        row: &ProviderTokensRow,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Puts the answer in the place of what it was asked with, and what it says of the person with it. `false` where that is
    /// not there any more; then nothing is changed.
    async fn put_provider_answer(
        &self,
        row: &ProviderTokensRow,
        answer: &ProviderAnswer,
    ) -> Result<bool, StoreError>;
    /// There was no answer: others may ask at `ask_at`, and not before.
    async fn put_off_provider_tokens(
        &self,
        row: &ProviderTokensRow,
        ask_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// The provider stands by this person no more: with the tokens, what comes from their log-ins there ends, sessions and
    /// grants, and clients are to be told. `None`, and nothing ends, where other tokens are there by now, or none.
    async fn end_provider_tokens(
        &self,
        row: &ProviderTokensRow,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError>;
}
