//! What is chosen by a word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of whom a password of our own is not enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactor {
    #[default]
    Optional,
    Administrators,
    Everyone,
}

/// How our own tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SigningAlg {
    #[default]
    ES256,
    EdDSA,
    RS256,
}

/// Whether clients may register themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DynamicRegistration {
    Off,
    #[default]
    Limited,
    Token,
    Open,
}

/// Whether a client may be named by the URL of its metadata document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientMetadataDocuments {
    Off,
    #[default]
    Allow,
    Ask,
    List,
}
