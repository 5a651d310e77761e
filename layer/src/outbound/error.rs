//! Why a call got no answer, or why there is no client to call with.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use super::reach::NotPublic;

/// Why a call got no answer. No variant carries the URL's query, a header or a body.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Nobody answered in time.
    #[error("no answer from {host} within {} ms", limit.as_millis())]
    Timeout {
        /// Who was called.
        host: String,
        /// What is allowed.
        limit: Duration,
    },
    /// No connection could be made.
    #[error("cannot connect to {host}")]
    Connect {
        /// Who was called.
        host: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// The other side's certificate or handshake was not accepted.
    #[error("the TLS certificate or handshake of {host} was not accepted")]
    Tls {
        /// Who was called.
        host: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke.
    #[error("the connection to {host} broke")]
    Broken {
        /// Who was called.
        host: String,
        /// What failed.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is larger than allowed.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// Who was called.
        host: String,
        /// How large it says it is (RFC 9110 §8.6), where it does; the rest was not read.
        size: Option<u64>,
        /// What is allowed.
        limit: usize,
    },
    /// The answer is compressed, which was not asked for.
    #[error("the answer of {host} is compressed, which was not asked for")]
    Compressed {
        /// Who was called.
        host: String,
    },
    /// The address is not public, and not one of [`OutboundSettings::allow_private`](super::OutboundSettings::allow_private).
    #[error(
        "{host} is at an address that is not public\n  hint: if that is intended, add it to outbound.allow_private"
    )]
    PrivateAddress {
        /// Who was called.
        host: String,
    },
}

impl OutboundError {
    /// What kind of fault it is, in a word that never changes.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Broken { .. } => "broken",
            Self::TooLarge { .. } => "too_large",
            Self::Compressed { .. } => "compressed",
            Self::PrivateAddress { .. } => "private_address",
        }
    }

    /// Whether the request cannot have reached the other side's application.
    #[must_use]
    pub const fn before_sending(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::PrivateAddress { .. })
    }
}

/// Why the client cannot be made. All of it is configuration.
#[derive(Debug, thiserror::Error)]
pub enum OutboundConfigError {
    /// The file of certificates cannot be read.
    #[error("outbound.ca_file {} cannot be read", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// The file of certificates holds none.
    #[error("outbound.ca_file {} holds no PEM certificate", path.display())]
    CaContent {
        /// The file.
        path: PathBuf,
    },
    /// The proxy is not a proxy URL.
    #[error("outbound.proxy is not a proxy URL such as http://proxy.internal:3128")]
    Proxy(#[source] reqwest::Error),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// What an error of the HTTP client means for who called.
pub(super) fn classify(host: &str, limit: Duration, source: reqwest::Error) -> OutboundError {
    let source = source.without_url();
    let host = host.to_owned();
    if has_cause::<NotPublic>(&source) {
        OutboundError::PrivateAddress { host }
    } else if has_cause::<rustls::Error>(&source) {
        OutboundError::Tls { host, source }
    } else if source.is_timeout() {
        OutboundError::Timeout { host, limit }
    } else if source.is_connect() {
        OutboundError::Connect { host, source }
    } else {
        OutboundError::Broken { host, source }
    }
}

/// Looks through the chain, and into the errors that `std::io::Error` hides from it.
fn has_cause<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            return has_cause::<E>(inner);
        }
        next = error.source();
    }
    false
}
