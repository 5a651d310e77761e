//! The words that audit events are made of: closed sets, as they stand in the log. Append; never rename one.

use std::sync::Arc;

use serde::Serialize;

/// How a token is named where it must not be shown: by its `jti`, else by 8 hex digits of its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TokenName(pub Arc<str>);

/// Why a token was not accepted: the class, never the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFailure {
    Missing,
    Malformed,
    UnknownIssuer,
    WrongAudience,
    WrongType,
    BadSignature,
    UnknownKey,
    AlgorithmNotAllowed,
    Expired,
    NotYetValid,
    Inactive,
    Revoked,
    ClaimsInvalid,
    IssuerUnavailable,
    /// Nothing proves that the sender holds the token's key (RFC 9449).
    InvalidProof,
    ProofNeedsNonce,
    /// It is bound to no key, and has to be.
    NotBound,
    /// It is bound to a certificate, and the connection has none or another (RFC 8705).
    WrongCertificate,
}

/// What is wrong with the definition of a tool of a server behind us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolFlaw {
    /// Another one than was approved, or than was seen before.
    Changed,
    /// It holds characters that people do not see.
    HiddenText,
    /// It cannot be read, or two readers could read it differently.
    Unreadable,
}

/// What else of a server is looked at for text that people do not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlawedThing {
    Prompt,
    Resource,
    ResourceTemplate,
    /// What it says of itself: `instructions`, its name and title.
    Server,
}

/// How somebody logs in: with a password, with a code after it, or at the identity provider of this id (from our own settings).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginMethod {
    Password,
    /// With a code of the person's authenticator app after it.
    PasswordAndCode,
    /// With a recovery code after it.
    PasswordAndRecoveryCode,
    IdentityProvider(String),
    /// With a passkey alone, which has verified its person.
    Passkey,
    /// With a passkey after the password.
    PasswordAndPasskey,
}

/// Why a login failed: the class, never what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFailure {
    /// No such user, no password, or another one: not told apart. Of a passkey: it is unknown, or what it signed is not right.
    Credentials,
    Throttled,
    /// The identity provider refused, or what it said is not acceptable.
    IdentityProvider,
    /// The account is disabled.
    Disabled,
    /// The password was right, or the one-time link or the session of who has none, and what had to follow it was not: whoever
    /// typed it has the first.
    SecondFactor,
    /// A passkey's signature is right and its sign count has not grown: there may be a second authenticator with its key.
    SignCount,
}

/// Why a logout token was not taken: the class, never the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogoutFailure {
    UnknownProvider,
    /// What it says, or its signature.
    NotAcceptable,
    /// It was used before.
    Replayed,
}

/// How one attempt at a provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Success,
    Error,
    Timeout,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    Ok,
    Error,
    /// The caller went away before there was an answer.
    Cancelled,
}

/// What became of a person's answer to a call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalOutcome {
    Approved,
    Denied,
    /// The person is who asked, and the rule does not allow that.
    OwnCall,
    /// Nothing shows that the person is not who asked: the two have no identity that could be compared.
    MayBeOwnCall,
    /// The person is none of the rule's approvers.
    NotAnApprover,
    /// Answered before, used, or past its deadline.
    TooLate,
    /// Asked under rules that are in force no more.
    AnotherPolicy,
}

/// Why a call that needs an approval is refused instead of asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRefusal {
    /// The caller's user did not go on to our page.
    Declined,
    /// An approver said no.
    Denied,
    /// As many calls of the requester as may wait for a person do already.
    TooManyWait,
    /// The request state is none of ours, or was altered.
    UnknownState,
    /// The request state is of a question of another caller.
    AnotherCaller,
    /// It is of a question under other rules.
    AnotherPolicy,
    /// It is of a question about another call.
    AnotherCall,
    /// Its approval was used before.
    Used,
    /// Its deadline is over.
    TooLate,
}

impl ApprovalRefusal {
    /// Those that come from no client which keeps to the protocol.
    pub const OF_NO_CLIENT: [Self; 3] =
        [Self::UnknownState, Self::AnotherCaller, Self::AnotherCall];
}

/// What an administrator changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminObject {
    User,
    Client,
    Server,
    ApiKey,
    Grant,
    SigningKey,
    Policy,
    /// What this replica logs.
    LogLevel,
    /// With which clients may register themselves.
    RegistrationToken,
    /// Where people log in.
    IdentityProvider,
    /// What a tool of a server behind us was approved as.
    ToolPin,
    /// What seals the values of the store.
    KeyEncryptionKey,
}

/// What an administrator does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminAction {
    Add,
    Disable,
    Enable,
    Delete,
    Revoke,
    RotateSecret,
    MakeLink,
    /// Everything of its kind gives way to a new one at once.
    Replace,
    /// It stays, and something about it is another.
    Change,
    /// Its files are read again.
    Reload,
    /// A person may administer the broker from now on.
    GiveRole,
    /// A person may not any more.
    TakeRole,
    /// A person's authenticator app and recovery codes count no more.
    RemoveSecondFactor,
    /// Somebody has looked at it, and it may be so.
    Approve,
}

/// Why a caller with an accepted token may not administer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminRefusal {
    ScopeMissing,
    /// It has the scope, and is no administrator, or none any more.
    NotAdministrator,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminOutcome {
    Done,
    /// Nothing was changed: there is no such object, or its name is taken.
    Refused,
    /// The store did not answer: it may or may not be changed.
    Failed,
}

/// What a client exchanges for tokens (RFC 6749 §4, §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
    /// RFC 8693
    TokenExchange,
    /// RFC 8628
    DeviceCode,
    /// RFC 7523 §2.1
    JwtBearer,
}

impl Reused {
    pub const ALL: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::DeviceCode];
}

/// What came a second time, after its only use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reused {
    AuthorizationCode,
    RefreshToken,
    /// RFC 8628
    DeviceCode,
}

/// How far a revocation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// Every token of it.
    Grant,
    AccessToken,
}

/// Something that was left out of an answer, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redaction {
    /// Where it would have been, such as `operation.headers.authorization`.
    pub field: String,
    pub reason: &'static str,
}

/// What was sent to an OAuth endpoint that refused it: names and lengths, never a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Which endpoint, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<&'static str>,
    /// What the client is told beside the code: a text of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<&'static str>,
    /// Which claim or rule was broken, where the client is not told: a word of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

/// One of them. The name is one that the protocol has; all others together are `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    pub name: &'static str,
    /// How long its value is; of a password, not even that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub characters: Option<usize>,
}
