//! The process environment, captured once. The only reader of `std::env`.

use std::collections::BTreeMap;
use std::fmt;

use super::origin::Origin;
use crate::secret_text::SecretText;

/// Variables by name, those of the `.env` file under those of the process. Values may be secrets: `Debug` shows names,
/// and they are zeroed when they are dropped. The process's own block, which the system keeps, is not.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, Variable>);

#[derive(Clone)]
struct Variable {
    value: SecretText,
    origin: Origin,
}

impl Environment {
    /// The environment of this process, as it is now. Bytes that are no UTF-8 are replaced.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door that everything else goes through"
    )]
    pub fn capture() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect()
    }

    /// The value of a variable; an empty one counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|variable| variable.value.expose())
    }

    /// All variables, for references such as `env:NAME`.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, variable)| (name.as_str(), variable.value.expose()))
    }

    /// Whether colour is unwanted: `NO_COLOR` is set and not empty (no-color.org).
    #[must_use]
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some_and(|value| !value.is_empty())
    }

    /// Adds a variable of the `.env` file where the process has none of that name.
    pub(super) fn add_below(&mut self, name: String, value: SecretText, line: usize) {
        let origin = Origin::DotEnv { line, name: name.clone() };
        // Of two lines the later one counts, as in a shell.
        let replaceable = |known: &Variable| matches!(known.origin, Origin::DotEnv { .. });
        if self.0.get(&name).is_none_or(replaceable) {
            self.0.insert(name, Variable { value, origin });
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, &Origin)> {
        self.0
            .iter()
            .map(|(name, variable)| (name.as_str(), variable.value.expose(), &variable.origin))
    }
}

/// Where this machine keeps files that need not last.
#[must_use]
pub fn temporary_directory() -> std::path::PathBuf {
    std::env::temp_dir()
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let variable = |(name, value): (String, String)| {
            (name.clone(), Variable { value: value.into(), origin: Origin::Environment { name } })
        };
        Self(variables.into_iter().map(variable).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
