//! `env:NAME`: a variable of the environment that `config` read at start.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

use super::error::{Fault, SecretError};
use super::provider::SecretProvider;
use super::value;

/// The variables that references may name, handed in by `config`. Shows how many, never which or what.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Arc<HashMap<String, SecretText>>);

impl FromIterator<(String, SecretText)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, SecretText)>>(variables: I) -> Self {
        Self(Arc::new(variables.into_iter().collect()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

impl Environment {
    /// The same variables and one more, which replaces one of its name.
    #[must_use]
    pub fn with(&self, name: &str, value: SecretText) -> Self {
        let mut variables = HashMap::clone(&self.0);
        variables.insert(name.to_owned(), value);
        Self(Arc::new(variables))
    }

    /// The value of a variable as it stands; an empty one counts as none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&SecretText> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// A value that is itself a reference is refused: it was meant to be resolved, and would be sent as a secret.
    pub(super) fn look_up(&self, name: &str) -> Result<SecretText, Fault> {
        let text = self.0.get(name).ok_or(Fault::NotFound(None))?;
        if SecretRef::looks_like_one(text.expose()) {
            return Err(Fault::MALFORMED);
        }
        value::checked(text.clone())
    }
}

impl SecretProvider for Environment {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        _limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        let found = match reference {
            SecretRef::Env(name) => self.look_up(name),
            _ => Err(Fault::UNEXPECTED),
        };
        ready(found.map_err(|fault| fault.at(reference))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: &str) -> Environment {
        [("NAME".to_owned(), SecretText::new(value.to_owned()))].into_iter().collect()
    }

    #[test]
    fn a_variable_is_found_by_its_exact_name() {
        assert_eq!(environment("x").look_up("NAME").unwrap().expose(), "x");
        assert_eq!(environment("x").look_up("name"), Err(Fault::NotFound(None)));
    }

    #[test]
    fn a_variable_that_holds_a_reference_or_nothing_is_refused() {
        for text in ["", "op://v/i/f", "ENV:OTHER", "file:/x", "vault:a/b#c"] {
            assert_eq!(environment(text).look_up("NAME"), Err(Fault::MALFORMED), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_neither_names_nor_values() {
        assert_eq!(format!("{:?}", environment("hunter2")), "Environment(1 variables)");
    }
}
