//! Every error code a caller can meet: its spelling, category and whether a retry can help.

use std::fmt;

use serde::{Serialize, Serializer};

/// A stable error code. Never renamed, never reused: clients, alerts and dashboards match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    PolicyDenied,
    PolicyMissingIdentity,
    PolicyInvalidScope,
    PolicyApprovalRequired,
    PolicyRateLimited,
    SecretNotFound,
    SecretAccessDenied,
    SecretTimeout,
    SecretUnavailable,
    ProviderAuthFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderBadResponse,
    BrokerUnavailable,
    InvalidField,
    InvalidTimeout,
    UnsupportedOperation,
}

/// Whose side an error is on. Derived from the [`Code`], never stored beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    Policy,
    Secret,
    Provider,
    Broker,
    Request,
}

impl Code {
    /// Every code, in the order in which `docs/errors.md` lists them.
    pub const ALL: [Self; 18] = [
        Self::PolicyDenied,
        Self::PolicyMissingIdentity,
        Self::PolicyInvalidScope,
        Self::PolicyApprovalRequired,
        Self::PolicyRateLimited,
        Self::SecretNotFound,
        Self::SecretAccessDenied,
        Self::SecretTimeout,
        Self::SecretUnavailable,
        Self::ProviderAuthFailed,
        Self::ProviderRateLimited,
        Self::ProviderTimeout,
        Self::ProviderUnavailable,
        Self::ProviderBadResponse,
        Self::BrokerUnavailable,
        Self::InvalidField,
        Self::InvalidTimeout,
        Self::UnsupportedOperation,
    ];

    /// The spelling on the wire, such as `policy.denied`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyDenied => "policy.denied",
            Self::PolicyMissingIdentity => "policy.missing_identity",
            Self::PolicyInvalidScope => "policy.invalid_scope",
            Self::PolicyApprovalRequired => "policy.approval_required",
            Self::PolicyRateLimited => "policy.rate_limited",
            Self::SecretNotFound => "secret.not_found",
            Self::SecretAccessDenied => "secret.access_denied",
            Self::SecretTimeout => "secret.timeout",
            Self::SecretUnavailable => "secret.unavailable",
            Self::ProviderAuthFailed => "provider.auth_failed",
            Self::ProviderRateLimited => "provider.rate_limited",
            Self::ProviderTimeout => "provider.timeout",
            Self::ProviderUnavailable => "provider.unavailable",
            Self::ProviderBadResponse => "provider.bad_response",
            Self::BrokerUnavailable => "broker.unavailable",
            Self::InvalidField => "bad_request.invalid_field",
            Self::InvalidTimeout => "bad_request.invalid_timeout",
            Self::UnsupportedOperation => "bad_request.unsupported_operation",
        }
    }

    /// The side the error is on.
    #[must_use]
    pub const fn category(self) -> Category {
        match self {
            Self::PolicyDenied
            | Self::PolicyMissingIdentity
            | Self::PolicyInvalidScope
            | Self::PolicyApprovalRequired
            | Self::PolicyRateLimited => Category::Policy,
            Self::SecretNotFound
            | Self::SecretAccessDenied
            | Self::SecretTimeout
            | Self::SecretUnavailable => Category::Secret,
            Self::ProviderAuthFailed
            | Self::ProviderRateLimited
            | Self::ProviderTimeout
            | Self::ProviderUnavailable
            | Self::ProviderBadResponse => Category::Provider,
            Self::BrokerUnavailable => Category::Broker,
            Self::InvalidField | Self::InvalidTimeout | Self::UnsupportedOperation => {
                Category::Request
            }
        }
    }

    /// Whether the same call, unchanged, may succeed later.
    #[must_use]
    pub const fn retryable(self) -> bool {
        match self {
            Self::PolicyApprovalRequired
            | Self::PolicyRateLimited
            | Self::SecretTimeout
            | Self::SecretUnavailable
            | Self::ProviderRateLimited
            | Self::ProviderTimeout
            | Self::ProviderUnavailable
            | Self::BrokerUnavailable => true,
            Self::PolicyDenied
            | Self::PolicyMissingIdentity
            | Self::PolicyInvalidScope
            | Self::SecretNotFound
            | Self::SecretAccessDenied
            | Self::ProviderAuthFailed
            | Self::ProviderBadResponse
            | Self::InvalidField
            | Self::InvalidTimeout
            | Self::UnsupportedOperation => false,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The category a client derives from the text is the one we send beside it.
    #[test]
    fn category_follows_from_the_spelling() {
        for code in Code::ALL {
            let prefix = code.as_str().split('.').next();
            let category = match code.category() {
                Category::Policy => "policy",
                Category::Secret => "secret",
                Category::Provider => "provider",
                Category::Broker => "broker",
                Category::Request => "bad_request",
            };
            assert_eq!(prefix, Some(category), "{code}");
        }
    }

    #[test]
    fn no_two_codes_share_a_spelling() {
        let mut seen: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Code::ALL.len());
    }
}
