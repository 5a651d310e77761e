//! Where a secret is kept: the reference grammar of the settings file, one parser for all backends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A reference to a secret in a backend. It names a place, never a value, so it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `env:NAME`
    Env(String),
    /// `file:/path`
    File(PathBuf),
    /// `op://vault/item[/section]/field`
    OnePassword(OnePasswordRef),
    /// `vault:mount/path#field`
    Vault { mount: String, path: String, field: String },
    /// `exec:name` or `exec:name/argument`: the helper `secrets.exec.<name>`
    Exec { name: String, argument: Option<String> },
}

/// An `op://` reference: the grammar that the official 1Password SDK accepts, made stricter where
/// that one lets through what can only fail later (empty segments, segments that begin or end in a space).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OnePasswordRef {
    pub vault: String,
    pub item: String,
    pub section: Option<String>,
    pub field: String,
}

/// Why a text is not a secret reference. Never repeats the text: it may be a secret pasted by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefError {
    #[error(
        "is not a secret reference: use env:NAME, file:/path, op://vault/item/field, vault:mount/path#field or exec:name"
    )]
    Scheme,
    #[error("is longer than 512 bytes")]
    TooLong,
    #[error("env: wants the name of a variable: letters, digits and `_`")]
    EnvName,
    #[error("file: wants an absolute path without `..`")]
    FilePath,
    #[error("op:// wants vault/item/field or vault/item/section/field, none of them empty")]
    OnePasswordParts,
    #[error(
        "op:// names hold letters, digits, space, `-`, `_` and `.`; name anything else by its id"
    )]
    OnePasswordCharacter,
    #[error("op:// attributes such as ?attribute=otp are not a client secret and are refused")]
    OnePasswordAttribute,
    #[error("vault: wants mount/path#field")]
    VaultShape,
    #[error(
        "exec: wants the name of a helper in [secrets.exec], with an optional /argument without `..`"
    )]
    ExecName,
}

impl FromStr for SecretRef {
    type Err = SecretRefError;

    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        if text.len() > 512 {
            return Err(SecretRefError::TooLong);
        }
        if let Some(rest) = text.strip_prefix("op://") {
            return one_password(rest).map(Self::OnePassword);
        }
        match text.split_once(':') {
            Some(("env", name)) => env(name),
            Some(("file", path)) => file(path),
            Some(("vault", rest)) => vault(rest),
            Some(("exec", rest)) => exec(rest),
            _ => Err(SecretRefError::Scheme),
        }
    }
}

impl SecretRef {
    /// Whether a text is meant as a reference, well formed or not.
    #[must_use]
    pub fn looks_like_one(text: &str) -> bool {
        ["env:", "file:", "op:", "vault:", "exec:"].iter().any(|scheme| {
            text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
    }
}

fn env(name: &str) -> Result<SecretRef, SecretRefError> {
    let start = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if start && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(SecretRef::Env(name.to_owned()))
    } else {
        Err(SecretRefError::EnvName)
    }
}

fn file(path: &str) -> Result<SecretRef, SecretRefError> {
    let path = Path::new(path);
    let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
    if path.is_absolute() && !climbs {
        Ok(SecretRef::File(path.to_owned()))
    } else {
        Err(SecretRefError::FilePath)
    }
}

fn one_password(rest: &str) -> Result<OnePasswordRef, SecretRefError> {
    if rest.contains('?') {
        return Err(SecretRefError::OnePasswordAttribute);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '/');
    if !rest.chars().all(allowed) {
        return Err(SecretRefError::OnePasswordCharacter);
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if parts
        .iter()
        .any(|part| part.is_empty() || part.trim() != *part || matches!(*part, "." | ".."))
    {
        return Err(SecretRefError::OnePasswordParts);
    }
    let (vault, item, section, field) = match parts.as_slice() {
        [vault, item, field] => (vault, item, None, field),
        [vault, item, section, field] => (vault, item, Some((*section).to_owned()), field),
        _ => return Err(SecretRefError::OnePasswordParts),
    };
    Ok(OnePasswordRef {
        vault: (*vault).to_owned(),
        item: (*item).to_owned(),
        section,
        field: (*field).to_owned(),
    })
}

fn vault(rest: &str) -> Result<SecretRef, SecretRefError> {
    let (location, field) = rest.split_once('#').ok_or(SecretRefError::VaultShape)?;
    let (mount, path) = location.split_once('/').ok_or(SecretRefError::VaultShape)?;
    let segment = |part: &str| {
        !part.is_empty()
            && !matches!(part, "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if segment(mount) && segment(field) && path.split('/').all(segment) {
        let (mount, path, field) = (mount.to_owned(), path.to_owned(), field.to_owned());
        Ok(SecretRef::Vault { mount, path, field })
    } else {
        Err(SecretRefError::VaultShape)
    }
}

fn exec(rest: &str) -> Result<SecretRef, SecretRefError> {
    let (name, argument) = match rest.split_once('/') {
        Some((name, argument)) => (name, Some(argument)),
        None => (rest, None),
    };
    let plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.split('/').all(|part| part != "..")
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
    };
    if plain(name) && argument.is_none_or(plain) {
        Ok(SecretRef::Exec { name: name.to_owned(), argument: argument.map(str::to_owned) })
    } else {
        Err(SecretRefError::ExecName)
    }
}

impl fmt::Display for OnePasswordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vault, item, section, field } = self;
        match section {
            Some(section) => write!(f, "op://{vault}/{item}/{section}/{field}"),
            None => write!(f, "op://{vault}/{item}/{field}"),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::OnePassword(reference) => reference.fmt(f),
            Self::Vault { mount, path, field } => write!(f, "vault:{mount}/{path}#{field}"),
            Self::Exec { name, argument: None } => write!(f, "exec:{name}"),
            Self::Exec { name, argument: Some(argument) } => write!(f, "exec:{name}/{argument}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces chosen so that good references are met often, and their neighbours, too.
    fn nearly() -> impl Strategy<Value = String> {
        let scheme = ["env:", "file:", "op://", "vault:", "exec:", "OP://", ""];
        let piece = ["a", "B1", "/", "/", "#", "..", ".", " ", "-", "_", "?", "é", ":", "\n"];
        let pieces = prop::collection::vec(prop::sample::select(piece.to_vec()), 0..9);
        (prop::sample::select(scheme.to_vec()), pieces)
            .prop_map(|(scheme, pieces)| format!("{scheme}{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// What is accepted names one place, prints as it was written, and climbs nowhere.
        #[test]
        fn what_parses_prints_as_it_was_written(text in nearly()) {
            let Ok(reference) = text.parse::<SecretRef>() else { return Ok(()) };
            prop_assert_eq!(reference.to_string(), text.as_str());
            prop_assert!(SecretRef::looks_like_one(&text));
            let (_, place) = text.split_once(':').unwrap_or_default();
            prop_assert!(place.split('/').all(|part| part != ".."), "{}", text);
            let file = matches!(reference, SecretRef::File(_));
            prop_assert!(file || !text.contains(['?', '\n', 'é']), "{}", text);
        }
    }

    #[test]
    fn every_form_prints_as_it_was_written() {
        for text in [
            "env:GRAPH_SECRET",
            "file:/run/secrets/graph",
            "op://vault/item/field",
            "op://my vault/item/section/field",
            "vault:secret/apps/graph#client_secret",
            "exec:sops",
            "exec:sops/apps/graph.yaml",
        ] {
            assert_eq!(text.parse::<SecretRef>().map(|r| r.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn malformed_references_are_refused_without_being_repeated() {
        for text in [
            "",
            "hunter2",
            "OP://v/i/f",
            "op://v/i",
            "op://v/i/s/f/x",
            "op://v//f",
            "op://v/../f",
            "op://v/i/f ",
            "op://v/i/f?attribute=otp",
            "op://v/i/é",
            "op://v/i/f#x",
            "env:",
            "env:A-B",
            "env:1A",
            "file:relative",
            "file:/a/../b",
            "vault:secret#f",
            "vault:secret/x",
            "vault:/x#f",
            "vault:secret/../x#f",
            "exec:",
            "exec:-rf",
            "exec:sops/-x",
            "exec:a b",
            "exec:sops/../x",
        ] {
            let error = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(text.len() < 6 || !error.contains(text), "{text}: {error}");
        }
    }
}
