//! What an operator can do about a token that cannot be had.

use super::assertion::AssertionError;
use super::error::{Detail, TokenError};

impl TokenError {
    /// For people who set the broker up; a caller is told nothing of this.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Secret(error) => error.hint(),
            Self::Unreachable(error) => error.hint(),
            Self::Assertion(error) => error.hint(),
            Self::Timeout { .. } => {
                "the identity provider is slow: look at its status page, or raise graph.token_timeout_ms"
            }
            Self::RateLimited { .. } => {
                "wait; many replicas, or another program with the same client_id, ask too often"
            }
            Self::PermitMismatch => "this is a fault of the broker: please report it",
            Self::BadResponse { detail }
            | Self::Unavailable { detail: Some(detail), .. }
            | Self::Refused { detail: Some(detail), .. } => of(*detail),
            Self::Unavailable { detail: None, .. } => {
                "the identity provider says that it cannot now: look at its status page"
            }
            Self::Refused { detail: None, .. } => {
                "look its AADSTS numbers up at https://login.microsoftonline.com/error"
            }
        }
    }
}

impl AssertionError {
    /// For people who set the broker up.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoCertificate => "a certificate as PEM begins with -----BEGIN CERTIFICATE-----",
            Self::PrivateKey => {
                "an RSA key as PEM: openssl req -x509 -newkey rsa:3072 makes one with its certificate"
            }
            Self::OtherKey => "private_key and certificate are made together: openssl req -x509",
            Self::TokenFile(_) => {
                "does the platform write it (a projected service account token), and may the broker's user read it?"
            }
            Self::TokenFileContent => "the file holds one JWT and nothing else",
        }
    }
}

const fn of(detail: Detail) -> &'static str {
    match detail {
        Detail::SecretInvalid => {
            "the backend must hold the secret's value, not its id; a new one takes a minute to be known"
        }
        Detail::SecretExpired => "make a new client secret, and put its value into the backend",
        Detail::CredentialMissing => "give the profile a credential",
        Detail::PublicClient => "in the app's manifest: allowPublicClient is false for this grant",
        Detail::AssertionInvalid => {
            "is this certificate uploaded at the app, not expired there, and is private_key its key?"
        }
        Detail::AssertionTime => {
            "look at this machine's clock (NTP), and whether the platform still renews its token file"
        }
        Detail::FederationNoMatch => {
            "issuer, subject and audience of the federated credential equal those of the token, byte for byte"
        }
        Detail::AppNotFound => "is client_id that of an app in the tenant tenant_id?",
        Detail::AppDisabled => {
            "the app is switched off in the tenant: Enterprise applications, Properties"
        }
        Detail::TenantNotFound => {
            "is tenant_id the GUID or a domain of the tenant, and graph.cloud its cloud?"
        }
        Detail::WrongCloud => "graph.cloud is another than the tenant's",
        Detail::ScopeInvalid | Detail::MultiResource => {
            "graph.cloud is another than the tenant's, or graph.custom_cloud.resource is wrong"
        }
        Detail::ResourceNotFound => {
            "the tenant does not know Graph under this name: look at graph.cloud"
        }
        Detail::ConsentRequired => {
            "an administrator grants the app's permissions: Grant admin consent"
        }
        Detail::ConditionalAccess => "a policy of the tenant keeps this app or this address out",
        Detail::InteractionRequired => "the person logs in anew, with what the tenant asks for",
        Detail::OboNotAllowed => {
            "this works for tokens of people alone, and with a secret or a certificate"
        }
        Detail::RequestMalformed => "check tenant_id, client_id and graph.custom_cloud",
        Detail::ManagedIdentityRefused => {
            "is the identity assigned to this machine, and is client_id that of an assigned one (or absent for the machine's own)?"
        }
        Detail::Tls => "where an authority of your own signs: outbound.ca_file",
        Detail::AddressNotAllowed => "if that is intended, add it to outbound.allow_private",
        Detail::Redirect | Detail::NotJson | Detail::Incomplete | Detail::TooLarge => {
            "something else than a token endpoint answers: a proxy's page, or a wrong graph.custom_cloud.login_url"
        }
        Detail::PrivateKeyUnusable => {
            "an RSA key as PEM: openssl req -x509 -newkey rsa:3072 makes one with its certificate"
        }
        Detail::FederatedTokenFile => {
            "does the platform write it (a projected service account token), and may the broker's user read it?"
        }
        Detail::PermitMismatch => "this is a fault of the broker: please report it",
    }
}
