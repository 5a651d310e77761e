//! Reads the parts of a path once, and refuses whatever two readers could read differently.

use percent_encoding::percent_decode_str;

use super::{PathError, QueryOption, Version};

/// The version and what follows its slash, if anything does.
pub(super) fn version_of(path: &str) -> Result<(Version, Option<&str>), PathError> {
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

pub(super) fn check_characters(
    text: &str,
    offset: usize,
    allowed: fn(u8) -> bool,
) -> Result<(), PathError> {
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(at) => Err(PathError::Character { at: offset + at }),
        None => Ok(()),
    }
}

/// `pchar` and `/` (RFC 3986 §3.3). `;` is let through here and refused by its own name.
pub(super) const fn path_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'/' | b':' | b'@')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// RFC 3986 §3.4.
pub(super) const fn query_character(byte: u8) -> bool {
    path_character(byte) || byte == b'?'
}

pub(super) fn decode_segments(rest: &str) -> Result<Vec<String>, PathError> {
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
    if matches!(decoded.as_str(), "." | "..") {
        return Err(PathError::DotSegment);
    }
    if decoded.starts_with(is_trimmed) || decoded.ends_with(is_trimmed) || decoded.ends_with('.') {
        return Err(PathError::Edge);
    }
    Ok(decoded)
}

/// What a server may leave out at the edge of a name: then a rule on the name would not be one on what is sent.
fn is_trimmed(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

pub(super) fn decode_query(query: &str) -> Result<Vec<QueryOption>, PathError> {
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
