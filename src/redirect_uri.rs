//! Redirect URIs: which may be registered, and which registered one a request means (RFC 6749 §3.1.2, RFC 8252 §7).
//!
//! The one parser of them, whoever registers: the settings, an administrator, a client itself, or its metadata document.

use std::fmt;
use std::str::FromStr;

use url::Url;

const MAX_BYTES: usize = 1000;

/// Schemes that no app of somebody's own answers. Everything else may be one (RFC 8252 §7.1): apps are not known by a list
/// of ours, and one URI that is refused costs a client its whole registration.
const DANGEROUS: [&[&str]; 4] = [
    // run or shown by the browser itself
    &[
        "about",
        "blob",
        "brave",
        "chrome",
        "cid",
        "data",
        "edge",
        "feed",
        "file",
        "filesystem",
        "jar",
        "javascript",
        "livescript",
        "mhtml",
        "mid",
        "mk",
        "mocha",
        "res",
        "opera",
        "resource",
        "vbscript",
        "view-source",
        "vivaldi",
        "wyciwyg",
    ],
    // done by the system, or by its shop
    &[
        "android-app",
        "content",
        "hcp",
        "help",
        "intent",
        "itms",
        "itms-apps",
        "itms-services",
        "market",
        "search",
        "search-ms",
        "shell",
        "x-man-page",
    ],
    // another network, where the code would cross it in clear or lie in a log
    &[
        "afp", "cifs", "dav", "davs", "dict", "ftp", "ftps", "git", "gopher", "imap", "irc",
        "ircs", "ldap", "ldaps", "magnet", "news", "nfs", "nntp", "pop", "rdp", "rlogin", "rtmp",
        "rtsp", "sftp", "smb", "ssh", "svn", "telnet", "tftp", "tn3270", "vnc", "webcal", "ws",
        "wss",
    ],
    // another person, or nobody
    &[
        "callto",
        "facetime",
        "facetime-audio",
        "mailto",
        "mms",
        "mmsto",
        "sip",
        "sips",
        "skype",
        "sms",
        "smsto",
        "tel",
        "urn",
        "xmpp",
    ],
];

/// What the schemes of whole families of them begin with: `ms-msdt` runs programs, `chrome-extension` is a page of a browser.
const DANGEROUS_BEGINNINGS: [&str; 5] = ["chrome-", "moz-", "ms-", "safari-", "x-apple"];

/// What a loopback redirect URI may start with (RFC 8252 §7.3). `localhost` is an exception that Claude Code and others
/// need; the three are never taken for one another (§8.3).
const LOOPBACK: [&str; 3] = ["http://127.0.0.1", "http://[::1]", "http://localhost"];

/// What may be registered, in few words.
pub const ALLOWED: &str = "https, http on 127.0.0.1, [::1] or localhost, or an app's own scheme such as com.example.app:/cb";

/// Why a redirect URI cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectUriError {
    TooLong,
    /// Relative, with white space or signs that no URI has, or not spelled as a browser would spell it.
    Malformed,
    /// RFC 6749 §3.1.2
    Fragment,
    UserInformation,
    Wildcard,
    /// OAuth 2.1 §2.3.1
    Unencrypted,
    /// RFC 8252 §7.1, §8.4
    Scheme,
}

impl RedirectUriError {
    /// For `invalid_redirect_uri` (RFC 7591 §3.2.2).
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::TooLong => "a redirect_uri is longer than 1000 characters",
            Self::Malformed => "a redirect_uri is not an absolute URI in its normal spelling",
            Self::Fragment => "a redirect_uri has a fragment",
            Self::UserInformation => "a redirect_uri has a user name or password",
            Self::Wildcard => "a redirect_uri has a wildcard",
            Self::Unencrypted => {
                "a redirect_uri has http and a host that is not 127.0.0.1, [::1] or localhost"
            }
            Self::Scheme => {
                "a redirect_uri has a scheme that is no app's own, such as javascript, data, file, ftp or mailto"
            }
        }
    }

    /// The same where the setting or field is named already: `has a fragment`.
    #[must_use]
    pub fn problem(self) -> &'static str {
        self.description().trim_start_matches("a redirect_uri ")
    }

    /// What to write instead.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::TooLong => "1000 characters at most",
            Self::Malformed => {
                "write it as a browser shows it: the host in lower case, no default port and none of 0, no `..`, no white space, other alphabets as xn--"
            }
            Self::Fragment => "leave out the # and what follows it",
            Self::UserInformation => "leave out what stands before the @",
            Self::Wildcard => {
                "name each one; they are compared as text, but for the port of http on loopback"
            }
            Self::Unencrypted => "use https, or the name by which the app listens on loopback",
            Self::Scheme => ALLOWED,
        }
    }
}

impl fmt::Display for RedirectUriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl std::error::Error for RedirectUriError {}

/// A redirect URI that may be registered. Kept byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// # Errors
    ///
    /// [`RedirectUriError`]
    pub fn parse(unverified: &str) -> Result<Self, RedirectUriError> {
        if unverified.len() > MAX_BYTES {
            return Err(RedirectUriError::TooLong);
        }
        if unverified.contains('#') {
            return Err(RedirectUriError::Fragment);
        }
        if unverified.contains('*') {
            return Err(RedirectUriError::Wildcard);
        }
        let url = Url::parse(unverified).map_err(|_| RedirectUriError::Malformed)?;
        let authority = unverified.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '\\']).next().unwrap_or_default();
        if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return Err(RedirectUriError::UserInformation);
        }
        scheme(&url)?;
        // Browsers rewrite what is spelled otherwise (case, dot segments, `:443`, `0x7f.1`, backslashes, other alphabets):
        // it would go elsewhere than what is compared and shown.
        let normal =
            url.as_str() == unverified || url.as_str().strip_suffix('/') == Some(unverified);
        // Port 0 is nobody's, and what is compared and shown would not be taken for loopback.
        let plain = normal && (url.scheme() != "http" || loopback(unverified).is_some());
        if plain { Ok(Self(unverified.to_owned())) } else { Err(RedirectUriError::Malformed) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request that names `presented` means this one: byte for byte (RFC 9700 §4.1.3), but for the port of a
    /// loopback URI (RFC 8252 §7.3).
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        without_port(&self.0) == without_port(presented)
    }

    /// Whether any program on the person's machine could listen there (RFC 8252 §8.3).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        loopback(&self.0).is_some()
    }
}

/// As [`RedirectUri::parse`].
impl FromStr for RedirectUri {
    type Err = RedirectUriError;

    fn from_str(unverified: &str) -> Result<Self, Self::Err> {
        Self::parse(unverified)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text that is compared: a loopback URI without its port, anything else as it is.
///
/// Two texts: where it begins and how it goes on. They are equal only for URIs that mean the same registered one.
pub(crate) fn without_port(uri: &str) -> (&str, &str) {
    loopback(uri).unwrap_or((uri, ""))
}

/// Splits a loopback URI around its port. `None` for every other URI, those that only look like one among them.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?']);
    LOOPBACK.iter().find_map(|start| {
        let rest = uri.strip_prefix(start)?;
        let head = uri.get(..start.len())?;
        let Some(port) = rest.strip_prefix(':') else { return ends(rest).then_some((head, rest)) };
        let digits = port.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = port.split_at_checked(digits)?;
        let valid = number.len() <= 5 && number.parse::<u16>().is_ok_and(|port| port > 0);
        (valid && ends(rest)).then_some((head, rest))
    })
}

fn scheme(url: &Url) -> Result<(), RedirectUriError> {
    match url.scheme() {
        "https" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(()),
        "http" if matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")) => Ok(()),
        "http" => Err(RedirectUriError::Unencrypted),
        dangerous if is_dangerous(dangerous) => Err(RedirectUriError::Scheme),
        // Without a `/` after the colon a browser has no place for parameters.
        _ if url.cannot_be_a_base() => Err(RedirectUriError::Malformed),
        _ => Ok(()),
    }
}

/// `scheme` is in lower case, as [`Url`] has it.
fn is_dangerous(scheme: &str) -> bool {
    DANGEROUS.iter().any(|group| group.contains(&scheme))
        || DANGEROUS_BEGINNINGS.iter().any(|beginning| scheme.starts_with(beginning))
}

#[cfg(test)]
mod tests;
