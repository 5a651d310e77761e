//! What an operator can do about a secret that cannot be read.

use super::error::{Detail, SecretError};

impl SecretError {
    /// For people who set the broker up; a caller is told nothing of this.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { detail: Some(detail), .. }
            | Self::AccessDenied { detail: Some(detail), .. }
            | Self::Unavailable { detail: Some(detail), .. } => of(*detail),
            Self::NotFound { detail: None, .. } => {
                "compare the reference with what the backend has, letter by letter: the variable, the file, vault/item/field, mount/path#field"
            }
            Self::AccessDenied { detail: None, .. } => {
                "the broker's own credential may not read this: give it the vault, the path or the file"
            }
            Self::Timeout { .. } => "the backend is slow: look at it, or raise secrets.timeout_ms",
            Self::Unavailable { detail: None, .. } => {
                "look at the backend, and whether it is reached"
            }
        }
    }
}

const fn of(detail: Detail) -> &'static str {
    match detail {
        Detail::Ambiguous => "several items have this name: name it by its id",
        Detail::RateLimited => {
            "the backend's limit is used up: raise secrets.cache_seconds, and look who else asks it"
        }
        Detail::NotConfigured => {
            "set secrets.provider for op://, [secrets.vault] for vault:, [secrets.exec.<name>] for exec:; a private address wants outbound.allow_private"
        }
        Detail::CliEnvironment => {
            "the helper must be there by its absolute path, executable by the broker's user, with a folder that it may write"
        }
        Detail::Sealed => "unseal it, or wait until it has started",
        Detail::Tls => "where an authority of your own signed its certificate: outbound.ca_file",
        Detail::Permissions => "chmod 600, and let it belong to the broker's user",
        Detail::Malformed => {
            "one value as text, neither empty nor larger than 64 KiB, that does not change by itself"
        }
        Detail::Cached => "this was found a moment ago; the broker asks again by itself",
        Detail::Unreachable => "check its address and port, and outbound.proxy",
        Detail::Broken => "it may have been started anew; if this stays, look at its log",
        Detail::Faulty => "look at the backend's own log",
        Detail::Unexpected => {
            "is it the right address? Run the helper by hand, or ask the backend with curl"
        }
        Detail::Credential => {
            "look at the broker's own credential for the backend: OP_SERVICE_ACCOUNT_TOKEN, secrets.onepassword.connect_token, secrets.vault.auth"
        }
    }
}
