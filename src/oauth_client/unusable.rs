//! Why an authorization server cannot be used.

use super::no_token::NoToken;

/// Why the broker cannot be a client there. Names no address and repeats nothing of the other side's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the server says nothing about an authorization server (RFC 9728)")]
    NoAuthorizationServer,
    #[error("the server's metadata is about another resource (RFC 9728 §3.3)")]
    OtherResource,
    #[error("the authorization server's metadata cannot be read (RFC 8414)")]
    NoMetadata,
    #[error("the authorization server's metadata is of another issuer (RFC 8414 §3.3)")]
    OtherIssuer,
    #[error("the authorization server does not say that it supports PKCE with S256")]
    NoPkce,
    #[error("a URL of the authorization server is no https URL")]
    NotHttps,
    #[error("the authorization server takes neither client metadata documents nor registrations")]
    NoRegistration,
    #[error("the authorization server did not register the broker")]
    NotRegistered,
    #[error("the answer is of another authorization server than the one that was asked (RFC 9207)")]
    WrongIssuer,
    #[error("the person or the authorization server refused")]
    Refused,
    #[error("the server or its authorization server does not answer")]
    Away,
    #[error(transparent)]
    NoToken(#[from] NoToken),
}
