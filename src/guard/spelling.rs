//! In how many ways a resource's URI can be read: one that a server may read as another than policy does is refused.
//!
//! Rules are compared with a URI as it is written. A server makes a path of it, or a URL, and so may find
//! `file:///etc/passwd` in `file:///docs/../etc/passwd` (RFC 3986 §6.2.2, §7.3; CWE-22).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::{Position, Url};

/// Whether the URI is written in the one way that every reader reads alike. *Not* checked: whether it names something, whether
/// its letters' case matters to the server, and what its query says.
#[must_use]
pub fn is_plain(uri: &str) -> bool {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let odd = |character: char| character.is_control() || character == '\\';
    let Ok(decoded) = percent_decode_str(uri).decode_utf8() else { return false };
    uri.trim() == uri
        && !uri.contains(odd)
        && !has_dots(uri)
        && !has_dots(&decoded)
        && has_plain_escapes(path)
        && has_plain_beginning(uri)
        && !has_a_drive_with_a_bar(&decoded)
        && !has_empty_segments(path)
}

/// As a server reads it that decodes the whole. `None`: there is nothing to decode.
#[must_use]
pub(super) fn decoded(uri: &str) -> Option<Cow<'_, str>> {
    let decoded = percent_decode_str(uri).decode_utf8().ok()?;
    (*decoded != *uri).then_some(decoded)
}

/// Parameters of a segment (RFC 3986 §3.3) hide no dots from a server that cuts them off.
fn has_dots(text: &str) -> bool {
    let segments = text.split([':', '/', '\\', '?', '#']);
    let mut names = segments.map(|segment| segment.split(';').next().unwrap_or_default());
    names.any(|name| matches!(name, "." | ".."))
}

/// Escapes of characters that need one, but for separators, controls and escapes of escapes.
fn has_plain_escapes(path: &str) -> bool {
    let mut parts = path.split('%');
    parts.next();
    let mut escapes = parts.map(|part| {
        let digits = part.get(..2).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())?;
        let next = part.get(2..4).unwrap_or_default();
        let again =
            byte == b'%' && !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(byte).filter(|byte| !again && !is_one_way(*byte))
    });
    escapes.all(|escaped| escaped.is_some())
}

/// What is never escaped, or means another thing when it is not.
fn is_one_way(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte.is_ascii_control()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\')
}

/// Scheme in small letters; where URLs have a special reading (WHATWG URL), what stands before the path is as that writes it.
fn has_plain_beginning(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return true };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.bytes().all(is_scheme) {
        return true;
    }
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return false;
    }
    if !matches!(scheme, "file" | "ftp" | "http" | "https" | "ws" | "wss") {
        return true;
    }
    let host = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    // Of a template, which is completed and not read.
    if host.is_some_and(|host| host.contains('{')) {
        return true;
    }
    let Ok(url) = uri.parse::<Url>() else { return false };
    let is_nobodys = url.username().is_empty() && url.password().is_none();
    let rest = uri.strip_prefix(&url[..Position::BeforePath]);
    let path = rest.and_then(|rest| rest.split(['?', '#']).next());
    // Escapes aside, which it adds.
    let is_as_written = |path: &str| percent_decode_str(path).eq(percent_decode_str(url.path()));
    is_nobodys && path.is_some_and(|path| path.is_empty() || is_as_written(path))
}

/// A Windows drive as the URL standard reads it (WHATWG URL, "Windows drive letter"): `C|` is `C:`.
fn has_a_drive_with_a_bar(uri: &str) -> bool {
    let Some(path) = uri.strip_prefix("file://") else { return false };
    let first = path.split('/').nth(1).unwrap_or_default();
    matches!(first.as_bytes(), [letter, b'|', ..] if letter.is_ascii_alphabetic())
}

/// A path that begins with a slash has something between every two of them.
fn has_empty_segments(path: &str) -> bool {
    let rest = path.split_once(':').map_or(path, |(_, rest)| rest);
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|begin| rest.get(begin..)).unwrap_or_default(),
        None => rest,
    };
    path.starts_with('/') && path.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_could_read_as_another_path_is_refused() {
        for uri in [
            "file:///docs/../../etc/passwd",
            "file:///docs/%2e%2e/etc/passwd",
            "file:///docs/.%2E/etc/passwd",
            "file:///docs/..;x/etc/passwd",
            "file:///docs/a?/../../etc/passwd",
            "file:///docs/a?/%2e%2e/etc/passwd",
            "file:///docs/..",
            "file:///docs/..?x",
            "file:///docs/%252e%252e/k",
            "file:///%73ecret/k",
            "file:///docs%2fsecret",
            "file:///docs%5c..%5cetc",
            "file:///docs\\..\\etc",
            "file:////secret/k",
            "file:///docs//etc/passwd",
            "file:/secret/k",
            "file:secret/k",
            "file://localhost/secret",
            "FILE:///secret/k",
            "https://Example.com/secret",
            "https://u@example.com/secret",
            "https://example.com:443/secret",
            "file:///docs/%",
            "file:///docs/%00",
            "file:///docs/%ff",
            " file:///docs/a",
            "file:///docs/a ",
            "file:///se\tcret/k",
            "city:../paris",
            "file:///C|/secret/k",
            "file:///c%7C/secret/k",
            "file:///c%7c",
        ] {
            assert!(!is_plain(uri), "{uri:?}");
        }
    }

    #[test]
    fn what_has_one_reading_is_let_through() {
        for uri in [
            "file:///docs/a.txt",
            "file:///docs/my%20notes/%C3%9Cbersicht.md",
            "file:///docs/my notes/Übersicht..md",
            "file:///docs/100%25",
            "file:///docs/...",
            "city:paris",
            "city:{name}",
            "file:///{+path}",
            "https://{host}/x",
            "https://example.com",
            "https://example.com:8443/a/?q=a%2Fb&p=../x#y",
            "db://Main/Table",
            "fetch:https://example.com/x",
            "urn:ietf:rfc:3986",
            "file:///C:/docs/k",
            "file:///docs/C|/a|b",
            "https://example.com/{a}/<b>^`\"?q={c}",
            "paris",
            "",
        ] {
            assert!(is_plain(uri), "{uri:?}");
        }
    }

    #[test]
    fn only_what_is_escaped_has_a_second_reading() {
        assert_eq!(decoded("file:///a%20b").as_deref(), Some("file:///a b"));
        assert_eq!(decoded("file:///a b"), None);
    }
}
