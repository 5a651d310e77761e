//! The path of a Graph call: what is parsed here is what policy decides on and what is sent, byte for byte.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::code::Code;

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

/// The version and what follows its slash, if anything does.
fn version_of(path: &str) -> Result<(Version, Option<&str>), PathError> {
    for version in [Version::V1, Version::Beta] {
        let rest = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(version.as_str()));
        match rest {
            Some("") => return Ok((version, None)),
            Some(rest) if rest.starts_with('/') => return Ok((version, rest.get(1..))),
            _ => {}
        }
    }
    Err(PathError::Version)
}

fn check_characters(text: &str, offset: usize, allowed: fn(u8) -> bool) -> Result<(), PathError> {
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(at) => Err(PathError::Character { at: offset + at }),
        None => Ok(()),
    }
}

/// `pchar` and `/` (RFC 3986 §3.3). `;` is let through here and refused by its own name.
const fn path_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'/' | b':' | b'@')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// RFC 3986 §3.4.
const fn query_character(byte: u8) -> bool {
    path_character(byte) || byte == b'?'
}

fn decode_segments(rest: &str) -> Result<Vec<String>, PathError> {
    rest.split('/').map(decode_segment).collect()
}

fn decode_segment(raw: &str) -> Result<String, PathError> {
    if raw.is_empty() {
        return Err(PathError::EmptySegment);
    }
    if raw.contains(';') {
        return Err(PathError::Parameter);
    }
    let delimiter = |byte: u8| {
        byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b'.' | b'%' | b'?' | b';')
    };
    if encoded_bytes(raw)?.into_iter().any(delimiter) {
        return Err(PathError::EncodedDelimiter);
    }
    let decoded = decode(raw)?;
    if matches!(decoded.as_str(), "." | "..") { Err(PathError::DotSegment) } else { Ok(decoded) }
}

fn decode_query(query: &str) -> Result<Vec<QueryOption>, PathError> {
    let mut options: Vec<QueryOption> = Vec::new();
    for pair in query.split('&') {
        let (raw_name, raw_value) = pair.split_once('=').ok_or(PathError::QueryOption)?;
        for raw in [raw_name, raw_value] {
            if encoded_bytes(raw)?.into_iter().any(|byte| byte.is_ascii_control()) {
                return Err(PathError::EncodedDelimiter);
            }
        }
        let name = option_name(&decode(raw_name)?)?;
        if options.iter().any(|option| option.name == name) {
            return Err(PathError::DuplicateOption);
        }
        // `+` is a space to the servers behind Graph, as in a form.
        options.push(QueryOption { name, value: decode(&raw_value.replace('+', "%20"))? });
    }
    Ok(options)
}

/// Graph takes system options without `$` and in any case, so `Expand=` must not hide from a rule on `$expand`.
fn option_name(decoded: &str) -> Result<String, PathError> {
    const SYSTEM: [&str; 13] = [
        "apply",
        "compute",
        "count",
        "deltatoken",
        "expand",
        "filter",
        "format",
        "orderby",
        "search",
        "select",
        "skip",
        "skiptoken",
        "top",
    ];
    let bare = decoded.strip_prefix('$').unwrap_or(decoded).to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if bare.is_empty() || !bare.bytes().all(plain) {
        return Err(PathError::QueryOption);
    }
    let dollar = decoded.starts_with('$') || SYSTEM.contains(&bare.as_str());
    Ok(if dollar { format!("${bare}") } else { bare })
}

/// What the percent-triplets of `raw` stand for.
fn encoded_bytes(raw: &str) -> Result<Vec<u8>, PathError> {
    raw.split('%')
        .skip(1)
        .map(|rest| {
            let digits = rest.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
            digits.and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or(PathError::Percent)
        })
        .collect()
}

fn decode(raw: &str) -> Result<String, PathError> {
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| PathError::NotUtf8)?;
    // ASCII controls are found byte by byte above; these are the others (U+0080 to U+009F).
    if text.chars().any(char::is_control) {
        return Err(PathError::EncodedDelimiter);
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Url {
        Url::parse("https://graph.microsoft.com").unwrap()
    }

    #[test]
    fn a_path_is_sent_as_it_was_written() {
        let text =
            "/v1.0/users/ada_x.com%23EXT%23@contoso.example/messages?$top=5&$select=id,subject";
        let path = GraphPath::parse(text).unwrap();
        let url = path.url(&origin()).unwrap();
        assert_eq!(url.as_str(), format!("https://graph.microsoft.com{text}"));
        assert_eq!(path.segments(), ["users", "ada_x.com#EXT#@contoso.example", "messages"]);
        assert_eq!(
            path.query().iter().map(QueryOption::name).collect::<Vec<_>>(),
            ["$top", "$select"]
        );
    }

    #[test]
    fn every_known_attack_is_refused() {
        use PathError as E;
        for (text, error) in [
            ("", E::Version),
            ("v1.0/users", E::Version),
            ("/v2.0/users", E::Version),
            ("/V1.0/users", E::Version),
            ("/v1.0x/users", E::Version),
            ("//evil.example/v1.0", E::Version),
            ("/\\evil.example/x", E::Version),
            ("https://evil.example/v1.0", E::Version),
            ("@evil.example/v1.0/users", E::Version),
            (".evil.example/v1.0", E::Version),
            (":443@evil.example/", E::Version),
            ("/v1.0/../beta/users", E::DotSegment),
            ("/v1.0/./users", E::DotSegment),
            ("/v1.0/users/..", E::DotSegment),
            ("/v1.0/users/%2e%2e/groups", E::EncodedDelimiter),
            ("/v1.0/users/.%2E/groups", E::EncodedDelimiter),
            ("/v1.0/users/..%2fgroups", E::EncodedDelimiter),
            ("/v1.0/users/a%5cb", E::EncodedDelimiter),
            ("/v1.0/users/%252e%252e", E::EncodedDelimiter),
            ("/v1.0/users/%00", E::EncodedDelimiter),
            ("/v1.0/users/%7f", E::EncodedDelimiter),
            ("/v1.0/users/%c2%85", E::EncodedDelimiter),
            ("/v1.0/users/a%3fb", E::EncodedDelimiter),
            ("/v1.0/users/a%3bb", E::EncodedDelimiter),
            ("/v1.0/users/%c0%ae", E::NotUtf8),
            ("/v1.0/users/%zz", E::Percent),
            ("/v1.0/users/a%", E::Percent),
            ("/v1.0/users/%+1", E::Percent),
            ("/v1.0/users;x=1", E::Parameter),
            ("/v1.0//users", E::EmptySegment),
            ("/v1.0/", E::EmptySegment),
            ("/v1.0/users/", E::EmptySegment),
            ("/v1.0\\..\\beta", E::Version),
            ("/v1.0/a\\b", E::Character { at: 7 }),
            ("/v1.0/a\tb", E::Character { at: 7 }),
            ("/v1.0/a b", E::Character { at: 7 }),
            ("/v1.0/a#b", E::Character { at: 7 }),
            ("/v1.0/ä", E::Character { at: 6 }),
            ("/v1.0/a?$filter=a b", E::Character { at: 17 }),
            ("/v1.0/a?x#y", E::Character { at: 9 }),
            ("/v1.0/a?", E::QueryOption),
            ("/v1.0/a?$top=1&", E::QueryOption),
            ("/v1.0/a?=1", E::QueryOption),
            ("/v1.0/a?a+b=1", E::QueryOption),
            ("/v1.0/a?$top=%0a", E::EncodedDelimiter),
            ("/v1.0/a?$expand=a&EXPAND=b", E::DuplicateOption),
            ("/v1.0/a?$expand=a&%24expand=b", E::DuplicateOption),
        ] {
            assert_eq!(GraphPath::parse(text), Err(error), "{text:?}");
        }
        let long = format!("/v1.0/{}", "a".repeat(MAX_PATH_BYTES));
        assert_eq!(GraphPath::parse(&long), Err(E::TooLong));
    }

    #[test]
    fn a_system_option_cannot_hide_without_its_dollar() {
        for text in ["$expand", "expand", "EXPAND", "%24Expand", "$EXPAND"] {
            let path = GraphPath::parse(&format!("/v1.0/users?{text}=manager")).unwrap();
            assert_eq!(path.query()[0].name(), "$expand", "{text}");
        }
        let path = GraphPath::parse("/v1.0/users/1/calendarView?startDateTime=2026").unwrap();
        assert_eq!(path.query()[0].name(), "startdatetime");
    }

    #[test]
    fn an_apostrophe_in_the_query_is_sent_encoded_and_read_decoded() {
        let path =
            GraphPath::parse("/v1.0/users?$filter=startswith(displayName,'A')+and+x").unwrap();
        assert_eq!(path.as_str(), "/v1.0/users?$filter=startswith(displayName,%27A%27)+and+x");
        assert_eq!(path.query()[0].value(), "startswith(displayName,'A') and x");
        assert!(path.url(&origin()).is_ok());
    }

    #[test]
    fn only_a_bare_origin_can_be_called() {
        let path = GraphPath::parse("/v1.0/users").unwrap();
        for bad in
            ["https://graph.microsoft.com/x/", "https://u@graph.microsoft.com", "https://h/?q"]
        {
            let url = path.url(&Url::parse(bad).unwrap());
            assert_eq!(url, Err(PathError::Changed), "{bad}");
        }
    }

    #[test]
    fn debug_names_nobody() {
        let path = GraphPath::parse("/v1.0/users/ada@contoso.example?$search=ada").unwrap();
        assert_eq!(
            format!("{path:?} {:?}", path.query()),
            "GraphPath(/v1.0, 2 segments) [$search]"
        );
    }

    /// Pieces chosen so that dangerous neighbours meet often.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/",
            "/v1.0",
            "/beta",
            "v1.0",
            "users",
            ".",
            "..",
            "%2e",
            "%2E",
            "%2f",
            "%252f",
            "%25",
            "%5c",
            "\\",
            "@",
            ":",
            ";",
            "?",
            "#",
            "&",
            "=",
            "$top=1",
            "$expand",
            "'",
            "%27",
            "+",
            "\t",
            "\n",
            " ",
            "ä",
            "%c3%a4",
            "%00",
            "%",
            "a",
            "evil.example",
            "//",
            "http:",
            "(",
            ")",
            "{",
            "}",
            "|",
            "^",
            "`",
            "\"",
            "<",
            ">",
            "[",
            "]",
            "*",
            "!",
            "~",
            "\u{ff0e}",
            "\u{200b}",
        ]);
        let common = prop::sample::select(vec!["/", "..", ".", "a", "?", "'", "=", "%2e"]);
        let piece = prop_oneof![common, piece];
        (prop::bool::weighted(0.8), prop::collection::vec(piece, 0..10)).prop_map(
            |(rooted, rest)| format!("{}{}", if rooted { "/v1.0/a" } else { "" }, rest.concat()),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// No accepted path changes host, version or segments between what was parsed and what is sent.
        #[test]
        fn what_is_parsed_is_what_is_sent(text in hostile()) {
            let Ok(path) = GraphPath::parse(&text) else { return Ok(()) };
            let url = path.url(&origin());
            prop_assert!(url.is_ok(), "accepted but not sent as it is: {:?}", text);
            let url = url.unwrap();
            prop_assert_eq!(url.host_str(), Some("graph.microsoft.com"));
            let sent: Vec<String> = url
                .path_segments()
                .unwrap()
                .map(|segment| percent_decode_str(segment).decode_utf8().unwrap().into_owned())
                .collect();
            prop_assert_eq!(&sent[0], path.version().as_str());
            prop_assert_eq!(&sent[1..], path.segments());
            let again = GraphPath::parse(path.as_str());
            prop_assert_eq!(again.as_ref(), Ok(&path));
        }

        /// The query that a form decoder reads is the query that policy read.
        #[test]
        fn the_query_is_read_as_a_server_reads_it(text in hostile()) {
            let Ok(path) = GraphPath::parse(&text) else { return Ok(()) };
            let url = path.url(&origin()).unwrap();
            let theirs: Vec<String> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
            let ours: Vec<&str> = path.query().iter().map(QueryOption::value).collect();
            prop_assert_eq!(theirs, ours);
        }
    }
}
