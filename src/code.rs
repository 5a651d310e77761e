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

    /// What happened, for people. `docs/errors.md` is made of these.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::PolicyDenied => "A deny rule matched, or no rule allows it.",
            Self::PolicyMissingIdentity => "The token names no subject.",
            Self::PolicyInvalidScope => {
                "A Graph permission is outside what the deciding rule and the settings allow."
            }
            Self::PolicyApprovalRequired => "A rule asks for a person's approval first.",
            Self::PolicyRateLimited => {
                "One of the broker's own limits; `retry_after_ms` says when it is over."
            }
            Self::SecretNotFound => "There is no secret at the configured reference.",
            Self::SecretAccessDenied => "The secret backend refused the broker.",
            Self::SecretTimeout => "The secret backend did not answer in time.",
            Self::SecretUnavailable => "The secret backend cannot be used now.",
            Self::ProviderAuthFailed => {
                "The identity provider or Graph refused the broker's credential."
            }
            Self::ProviderRateLimited => {
                "The provider limits the rate of calls; `retry_after_ms` says for how long."
            }
            Self::ProviderTimeout => "The provider did not answer in time.",
            Self::ProviderUnavailable => {
                "The provider cannot be reached, or answers that it cannot serve."
            }
            Self::ProviderBadResponse => {
                "The provider answered what the protocol does not allow, or too much."
            }
            Self::BrokerUnavailable => "The broker's own store or audit log cannot be used.",
            Self::InvalidField => "A field is missing, unknown or malformed; `field` names it.",
            Self::InvalidTimeout => {
                "`timeout_ms` is not a whole number from 1 to the configured budget."
            }
            Self::UnsupportedOperation => {
                "A method, an action or a path that the broker never executes."
            }
        }
    }

    /// What whoever meets it can do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::PolicyDenied => {
                "Look at `reason_code`; list what is open to you with `auth.graph.operations.list.v1`."
            }
            Self::PolicyMissingIdentity => "Use a token with a `sub`.",
            Self::PolicyInvalidScope => {
                "Leave `graph.scopes` out, or name permissions of the rule only."
            }
            Self::PolicyApprovalRequired => "Have the call approved, then repeat it.",
            Self::PolicyRateLimited | Self::ProviderRateLimited => {
                "Wait for `retry_after_ms`, then repeat it."
            }
            Self::SecretNotFound => {
                "Operator: check the reference; `broker check --live` reads it."
            }
            Self::SecretAccessDenied => "Operator: check the backend's token and its rights.",
            Self::SecretTimeout | Self::SecretUnavailable => {
                "Repeat it later. Operator: see `degraded` in `/ready`."
            }
            Self::ProviderAuthFailed => {
                "Operator: `detail` names the cause, such as an expired secret or a missing permission."
            }
            Self::ProviderTimeout | Self::ProviderUnavailable => {
                "Repeat it later, changes only if they may happen twice."
            }
            Self::ProviderBadResponse => "Ask for less (`$select`, `$top`), or report it.",
            Self::BrokerUnavailable => "Repeat it later. Operator: see `failing` in `/ready`.",
            Self::InvalidField | Self::InvalidTimeout => {
                "Correct the field; the tool's input schema has its form."
            }
            Self::UnsupportedOperation => {
                "Use another operation; the message says which, where there is one."
            }
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
