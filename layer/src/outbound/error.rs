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

    /// What an operator can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => {
                "ask it from this machine (curl -v): it is slow, or something between drops what is sent"
            }
            Self::Connect { .. } => {
                "check name and port, and whether it can be reached from this machine without a proxy (outbound.proxy)"
            }
            Self::Tls { .. } => {
                "where an authority of your own signs: outbound.ca_file; else look at its end and at the name it is for"
            }
            Self::Broken { .. } => {
                "it may have been started anew; if this stays, look at its log and at what stands between"
            }
            Self::TooLarge { .. } => "check the URL: this is not the answer that is given there",
            Self::Compressed { .. } => "something between compresses what was to come as it is",
            Self::PrivateAddress { .. } => "if that is intended, add it to outbound.allow_private",
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
    #[error(
        "outbound.ca_file {} cannot be read\n  hint: a file that the process's user may read, with -----BEGIN CERTIFICATE----- in it",
        path.display()
    )]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// The file of certificates holds none.
    #[error(
        "outbound.ca_file {} holds no PEM certificate\n  hint: a certificate begins with -----BEGIN CERTIFICATE-----; openssl x509 -inform DER makes one of DER",
        path.display()
    )]
    CaContent {
        /// The file.
        path: PathBuf,
    },
    /// The certificate of the server that is asked holds none, or cannot be read.
    #[error(
        "{} cannot be read as certificates\n  hint: a file that the process's user may read, with -----BEGIN CERTIFICATE----- in it",
        path.display()
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The versions of TLS are not those of the cryptography.
    #[error("TLS is not usable here\n  hint: this is a fault of the program; please report it")]
    Tls(#[source] rustls::Error),
    /// The proxy is not a proxy URL.
    #[error(
        "outbound.proxy is not a proxy URL\n  hint: http://proxy.internal:3128, with user and password where it asks for them"
    )]
    Proxy(#[source] reqwest::Error),
    /// The HTTP client cannot be made.
    #[error(
        "the HTTP client cannot be made\n  hint: look at outbound.ca_file, and whether this machine has certificates of its own (ca-certificates)"
    )]
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
