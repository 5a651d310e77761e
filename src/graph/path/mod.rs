//! The path of a Graph call: what is parsed here is what policy decides on and what is sent, byte for byte.

use std::fmt;

use url::Url;

use crate::code::Code;

mod decode;
#[cfg(test)]
mod tests;

use decode::{
    check_characters, decode_query, decode_segments, path_character, query_character, version_of,
};

/// The longest path with its query that is accepted.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// A version of the Graph API, the first segment of every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    Beta,
}

impl Version {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// One `name=value` of the query, decoded once.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryOption {
    name: String,
    value: String,
}

impl QueryOption {
    /// Lower case; an `OData` system option always with its `$`, which Graph lets a caller leave out.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for QueryOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A path that can only mean one thing: no dot segments, no empty segments, no encoded delimiters.
///
/// `Debug` shows its size only, because paths name people.
#[derive(Clone, PartialEq, Eq)]
pub struct GraphPath {
    text: String,
    version: Version,
    segments: Vec<String>,
    query: Vec<QueryOption>,
}

/// Why a text is not a path that may be called. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    #[error("must be an absolute path that begins with /v1.0 or /beta, without scheme and host")]
    Version,
    #[error("has at byte {at} a character that must be percent-encoded or may not occur")]
    Character { at: usize },
    #[error("has a `%` that is not followed by two hex digits")]
    Percent,
    #[error("has an encoded delimiter, dot, percent sign or control character in a segment")]
    EncodedDelimiter,
    #[error("has percent-encoded bytes that are not UTF-8")]
    NotUtf8,
    #[error("has an empty segment")]
    EmptySegment,
    #[error("has a `.` or `..` segment")]
    DotSegment,
    #[error("has white space, an invisible character or a dot at the edge of a segment")]
    Edge,
    #[error("has a `;` parameter in a segment")]
    Parameter,
    #[error("has a query option without a name, without `=`, or with an unusual name")]
    QueryOption,
    #[error("has the same query option twice")]
    DuplicateOption,
    #[error("would not be sent as it was read")]
    Changed,
}

impl PathError {
    #[must_use]
    pub const fn code(self) -> Code {
        Code::InvalidField
    }
}

impl GraphPath {
    /// Parses `operation.path`. Which paths and options are allowed is for policy to say.
    ///
    /// In the query, `'` is kept as `%27`: the two mean the same to Graph, and the URL standard
    /// (WHATWG, special-query percent-encode set) sends the second.
    ///
    /// # Errors
    ///
    /// [`PathError`], always `bad_request.invalid_field`.
    pub fn parse(unverified: &str) -> Result<Self, PathError> {
        if unverified.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let (path, query) = match unverified.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (unverified, None),
        };
        let (version, rest) = version_of(path)?;
        check_characters(path, 0, path_character)?;
        let segments = rest.map_or_else(|| Ok(Vec::new()), decode_segments)?;
        let mut text = path.to_owned();
        let mut pairs = Vec::new();
        if let Some(query) = query {
            check_characters(query, path.len() + 1, query_character)?;
            pairs = decode_query(query)?;
            text.push('?');
            text.push_str(&query.replace('\'', "%27"));
        }
        Ok(Self { text, version, segments, query: pairs })
    }

    /// What is sent: path and query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The segments after the version, percent-decoded once. Graph compares them without case.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    #[must_use]
    pub fn query(&self) -> &[QueryOption] {
        &self.query
    }

    /// Whether this is `/me`, which exists only for a signed-in user and so never for an app.
    #[must_use]
    pub fn needs_signed_in_user(&self) -> bool {
        self.segments.first().is_some_and(|first| first.eq_ignore_ascii_case("me"))
    }

    /// The URL to call at `origin`, which must be a bare origin.
    ///
    /// # Errors
    ///
    /// [`PathError::Changed`] if the URL names another origin, or if its path or query are not byte
    /// for byte what was parsed. [`GraphPath::parse`] is meant to make that impossible; this is the check.
    pub fn url(&self, origin: &Url) -> Result<Url, PathError> {
        let start = origin.as_str().strip_suffix('/').ok_or(PathError::Changed)?;
        let url = Url::parse(&format!("{start}{}", self.text)).map_err(|_| PathError::Changed)?;
        let (path, query) = match self.text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.text.as_str(), None),
        };
        let bare = origin.path() == "/" && origin.query().is_none() && origin.fragment().is_none();
        let same_origin = url.scheme() == origin.scheme()
            && url.host() == origin.host()
            && url.port() == origin.port()
            && url.username().is_empty()
            && url.password().is_none();
        let same_target = url.path() == path && url.query() == query && url.fragment().is_none();
        if bare && same_origin && same_target { Ok(url) } else { Err(PathError::Changed) }
    }
}

impl fmt::Debug for GraphPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphPath(/{}, {} segments)", self.version.as_str(), self.segments.len())
    }
}
