//! Which operations Graph has and which application permissions they need. Feeds hints, never a decision.

mod builtin;
mod import;

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::id::Permission;

pub use import::ImportError;

/// What an operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    Read,
    Write,
    /// Hard to undo, privileged, or visible to others.
    Destructive,
}

/// One operation.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    #[serde(serialize_with = "method_text")]
    pub method: Method,
    /// Without the version, with placeholders: `/users/{id}`.
    pub path_template: Arc<str>,
    /// Application permissions that suffice, the least first. Empty: no app can do this.
    pub permissions: Vec<Permission>,
    pub risk: Risk,
    pub description: Arc<str>,
}

fn method_text<S: serde::Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

impl Operation {
    /// The least permission that does.
    #[must_use]
    pub fn least(&self) -> Option<&Permission> {
        self.permissions.first()
    }

    /// In how many letters a template of a rule is another one, placeholders on either side aside; `None`: in more than one
    /// segment, or in their number.
    fn differs(&self, segments: &[String]) -> Option<usize> {
        let own: Vec<&str> = self.path_template.split('/').skip(1).collect();
        if own.len() != segments.len() {
            return None;
        }
        let mut apart = own
            .into_iter()
            .zip(segments)
            .filter(|(own, segment)| !is_placeholder(own) && !is_placeholder(segment))
            .map(|(own, segment)| {
                strsim::damerau_levenshtein(
                    &own.to_ascii_lowercase(),
                    &segment.to_ascii_lowercase(),
                )
            })
            .filter(|letters| *letters > 0);
        let first = apart.next().unwrap_or_default();
        apart.next().is_none().then_some(first)
    }

    /// How many segments match literally; `None` where the template does not match.
    fn matches(&self, method: &Method, segments: &[String]) -> Option<usize> {
        let mut literal = 0;
        let mut parts = self.path_template.split('/').skip(1);
        for segment in segments {
            let part = parts.next()?;
            if part.eq_ignore_ascii_case(segment) {
                literal += 1;
            } else if !(is_placeholder(part) && is_parameter(segment)) {
                return None;
            }
        }
        (parts.next().is_none() && self.method == *method).then_some(literal)
    }
}

/// What follows the version.
fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.split('?').next().unwrap_or_default();
    let rest = ["/v1.0/", "/beta/", "/"].iter().find_map(|prefix| path.strip_prefix(prefix))?;
    Some(rest.split('/').map(str::to_owned).collect())
}

fn is_placeholder(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

/// A `{param}` never stands for a function, a cast or a system segment.
fn is_parameter(segment: &str) -> bool {
    !segment.starts_with('$')
        && !segment.contains(['(', ')', ':'])
        && !segment.eq_ignore_ascii_case("delta")
        && !segment.to_ascii_lowercase().starts_with("microsoft.graph.")
}

/// A set of operations: the one built in, or one imported from Microsoft's permission data.
#[derive(Clone, Debug)]
pub struct Catalog {
    operations: Vec<Operation>,
    /// Whether it is Microsoft's, which has all of them.
    whole: bool,
}

impl Catalog {
    /// The common operations, ours.
    #[must_use]
    pub fn built_in() -> Self {
        Self { operations: builtin::operations(), whole: false }
    }

    /// Reads `permissions.json` of `microsoftgraph/microsoft-graph-devx-content`, plain or gzipped.
    ///
    /// Operations that are built in keep our permissions and descriptions where [`Catalog::overrides`]
    /// says that the data is implausible.
    ///
    /// # Errors
    ///
    /// [`ImportError`]
    pub fn import(bytes: &[u8]) -> Result<Self, ImportError> {
        import::import(bytes).map(|operations| Self { operations, whole: true })
    }

    /// The rows where we know better than the data, with reasons: method, path, permission, reason.
    #[must_use]
    pub const fn overrides() -> &'static [(&'static str, &'static str, &'static str, &'static str)]
    {
        &import::OVERRIDES
    }

    #[must_use]
    pub fn list(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation that `segments` (after the version, decoded) name; the most literal one of several.
    #[must_use]
    pub fn find(&self, method: &Method, segments: &[String]) -> Option<&Operation> {
        let ranked = self.operations.iter().filter_map(|operation| {
            operation.matches(method, segments).map(|literal| (literal, operation))
        });
        ranked.max_by_key(|(literal, _)| *literal).map(|(_, operation)| operation)
    }

    /// The operation of a path or template such as `/v1.0/users/ada` or `/users/{id}`.
    #[must_use]
    pub fn explain(&self, method: &Method, path: &str) -> Option<&Operation> {
        self.find(method, &segments(path)?)
    }

    /// Whether no operation has a path that a template such as `/v1.0/users/{id}` can mean. Of the built-in catalogue, which has
    /// the common ones alone, only where it looks like one of them.
    #[must_use]
    pub fn lacks(&self, template: &str) -> bool {
        segments(template).is_some_and(|segments| {
            self.apart(&segments, 0).is_none() && (self.whole || self.apart(&segments, 1).is_some())
        })
    }

    /// The path that differs from a template in one letter.
    #[must_use]
    pub fn one_letter_apart(&self, template: &str) -> Option<&str> {
        let segments = segments(template)?;
        self.apart(&segments, 1).map(|operation| &*operation.path_template)
    }

    fn apart(&self, segments: &[String], letters: usize) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.differs(segments) == Some(letters))
    }

    /// Every operation for which `permission` suffices.
    pub fn operations_for<'a>(
        &'a self,
        permission: &'a Permission,
    ) -> impl Iterator<Item = &'a Operation> {
        self.operations.iter().filter(|operation| operation.permissions.contains(permission))
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::built_in()
    }
}

/// The application permission meant by a name that exists for signed-in users only.
#[must_use]
pub fn application_permission(name: &str) -> &str {
    match name {
        "User.Read" => "User.Read.All",
        "User.ReadWrite" => "User.ReadWrite.All",
        "User.ReadBasic" => "User.ReadBasic.All",
        "Files.Read" => "Files.Read.All",
        "Files.ReadWrite" => "Files.ReadWrite.All",
        "Presence.Read" => "Presence.Read.All",
        "Tasks.Read" => "Tasks.Read.All",
        "Group.Read" => "Group.Read.All",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn the_most_literal_template_wins_and_case_does_not_matter() {
        let catalog = Catalog::built_in();
        let find = |path: &str| {
            catalog
                .find(&Method::GET, &segments(path))
                .map(|operation| operation.path_template.to_string())
        };
        assert_eq!(find("USERS/ada@contoso.example").as_deref(), Some("/users/{id}"));
        assert_eq!(find("users/delta").as_deref(), Some("/users/delta"));
        assert_eq!(find("users/1/photo/$value").as_deref(), Some("/users/{id}/photo/$value"));
        for none in [
            "users/$count",
            "users/a(b)",
            "users/a:b",
            "users/microsoft.graph.x",
            "nothing",
            "users/1/2/3",
        ] {
            assert_eq!(find(none), None, "{none}");
        }
    }

    #[test]
    fn every_row_that_is_built_in_can_be_found_by_its_own_template() {
        let catalog = Catalog::built_in();
        for operation in catalog.list() {
            let found = catalog.explain(&operation.method, &operation.path_template);
            assert_eq!(found.map(|found| &found.path_template), Some(&operation.path_template));
            assert!(!operation.description.is_empty());
        }
        assert!(catalog.list().len() >= 70);
    }

    #[test]
    fn operations_of_a_permission_are_those_it_suffices_for() {
        let catalog = Catalog::built_in();
        let permission: Permission = application_permission("User.Read").parse().unwrap();
        let found: Vec<&str> =
            catalog.operations_for(&permission).map(|o| &*o.path_template).collect();
        assert!(found.contains(&"/users") && found.contains(&"/users/{id}"), "{found:?}");
        assert!(!found.iter().any(|path| path.contains("messages")), "{found:?}");
    }
}
