//! What must outlive a restart, and what several replicas share: clients, people, grants, keys, resources.
//!
//! Each consumer has its own trait; [`Database`] is all of them. What must be atomic is one method: a state
//! change is a guarded statement that says whether it happened. Bearer artefacts come as [`Digest`]s only;
//! what must be readable again comes sealed. Times are passed in.

mod approval;
mod authenticator;
mod backend;
mod cause;
mod client;
mod connection;
mod copy;
mod device;
mod digest;
mod error;
mod grant;
mod identity_provider;
mod lease;
mod load;
mod logout;
mod look;
mod maintain;
mod migrate;
mod open;
mod open_error;
mod page;
mod passkey;
mod person;
mod postgres;
mod provider_tokens;
mod registration_token;
mod resource;
mod revoked;
mod sealing;
mod settings;
mod signing_key;
mod sql;
mod sqlite;
mod tool_pin;
mod upstream_account;
mod used;

pub use approval::{
    ApprovalAnswer, ApprovalRow, ApprovalState, ApprovalStore, Asked, Requester, UsedApproval,
};
pub use authenticator::{AuthenticatorRow, AuthenticatorStore};
pub use client::{ClientKind, ClientRow, ClientStore, MetadataDocument, NewRegistration};
pub use copy::{Copied, CopiedTable, CopyError, CopyProgress, CopyStep, copy};
pub use device::{DeviceAnswer, DeviceRequestRow, DeviceStore, Polled};
pub use digest::Digest;
pub use error::StoreError;
pub use grant::{
    AuthorizationRequestRow, CodeRedemption, CodeRow, Consent, ConsentKey, ConsentUse, GrantFilter,
    GrantOf, GrantRow, GrantStore, NewRefreshToken, Redeemed, RefreshRotation, RevokeReason,
    RevokedToken, Rotated,
};
pub use identity_provider::{IdentityProviderRow, IdentityProviderStore};
pub use lease::{Lease, LeaseRate, LeaseStore, PLACES_LAST, PlaceLease};
pub use load::StoreLoad;
pub use logout::{LogOut, LoggedOut, LogoutNotice, LogoutStore, LogoutToken, NoticeClaim, Revokes};
pub use look::{Found, look};
pub use maintain::{
    Existing, MaintainError, Restored, StoreRoom, StoreStatus, TableStatus, backup, restore, status,
};
pub use open::open;
pub use open_error::OpenError;
pub use page::{Page, PageRequest};
pub use passkey::{
    PasskeyAdded, PasskeyRemoved, PasskeyRow, PasskeySetUp, PasskeyStore, PasskeyUse,
};
pub use person::{
    ExternalIdentity, LinkPurpose, LoginAttempts, LoginOrigin, NewSession, OneTimeLink, OwnLogin,
    PersonStore, SessionRow, StepDown, UserProfile, UserRemoval, UserRemoved, UserRow, groups_fit,
    roles_fit,
};
pub use provider_tokens::{
    GivenTokens, ProviderAnswer, ProviderLogin, ProviderTokenStore, ProviderTokensRow, ProviderWord,
};
pub use registration_token::{RegistrationTokenRow, RegistrationTokenStore};
pub use resource::{ApiKeyRow, ResourceChange, ResourceRow, ResourceStore};
pub use sealing::{
    BROKERS_LAST, Resealed, SealedCount, SealedPlace, SealedRow, Sealing, SealingChange,
    SealingRestart, SealingStore,
};
pub use settings::StoreSettings;
pub use signing_key::{SigningKeyRow, SigningKeyState, SigningKeyStore};
pub use tool_pin::{
    FoundTool, MetTool, MetTools, ToolApproval, ToolApproved, ToolPin, ToolPinList, ToolPinRow,
    ToolPinStore, ToolPins,
};
pub use upstream_account::{EndedAccount, UpstreamAccountRow, UpstreamAccountStore};

/// A database with everything in it.
pub trait Database:
    ApprovalStore
    + AuthenticatorStore
    + ClientStore
    + DeviceStore
    + GrantStore
    + IdentityProviderStore
    + LeaseStore
    + LogoutStore
    + PasskeyStore
    + PersonStore
    + ProviderTokenStore
    + RegistrationTokenStore
    + ResourceStore
    + SealingStore
    + SigningKeyStore
    + ToolPinStore
    + UpstreamAccountStore
    + std::fmt::Debug
{
    /// Whether the database answered when it was last asked, a moment ago. While it does not, revocations by other
    /// replicas are not seen.
    fn answers(&self) -> bool;

    /// How long it takes, and how often it fails.
    fn load(&self) -> &StoreLoad;
}
