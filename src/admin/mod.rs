//! Administration: one set of operations for the commands and the API.
//!
//! The operations check what they are given, record what they change, and show a secret once. Who may call them
//! is for the door in front: the API wants the scope `broker:admin` and an administrator of this moment, a command
//! whoever may open the store.

mod api;
mod error;
mod input;
mod operations;

pub use api::{document_routes, routes, unrecorded};
pub use error::AdminError;
pub use operations::{
    Actor, Administrators, ApprovalView, BoundTokens, CertificatesAsked, ClientChange, ClientView,
    GrantView, IdentityProviderChange, IdentityProviderView, KeyControl, KeyFault, KeyView,
    LogControl, LogLevel, LogLevelView, NamedCredential, NewClient, NewIdentityProvider,
    NewRegistrationToken, NewServer, NewToolApproval, NewUser, OnToolFlaw, Operations, PageQuery,
    PasskeyView, PolicyControl, PolicyView, ProviderClaimNames, ProviderControl, ProviderEnded,
    ProviderFault, ProviderSecret, ProviderSettings, ProxySettings, RegistrationTokenView,
    ReloadFault, SecondFactorView, ServerChange, ServerEra, ServerView, Serving, Settings,
    ShadowDifference, Shown, SigningKeyView, ToolDifference, ToolPinDetail, ToolPinView,
    UserChange, UserView,
};
