//! Path templates: `/v1.0/users/{id}/messages`, matched on decoded segments, without case.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a path template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a path begins with /v1.0/ or /beta/")]
    Version,
    #[error("a path has no empty segments, no query and no percent-encoding")]
    Segment,
    #[error("a placeholder is one whole segment: {{name}}, of letters, digits and `_`")]
    Placeholder,
    #[error("two placeholders of a path have one name: a condition could not tell which is meant")]
    Repeated,
}

/// A path with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    text: Arc<str>,
    version: &'static str,
    /// After the version.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Its name.
    Placeholder(String),
}

impl Template {
    pub(crate) const fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) const fn version(&self) -> &'static str {
        self.version
    }

    /// The literals by position, `None` for a placeholder.
    pub(crate) fn literals(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.parts.iter().map(|part| match part {
            Part::Literal(literal) => Some(literal.as_str()),
            Part::Placeholder(_) => None,
        })
    }

    /// The names of its placeholders.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder(name) => Some(name.as_str()),
        })
    }

    /// What the placeholders stand for in segments that match.
    pub(crate) fn captures<'a>(
        &'a self,
        segments: &'a [String],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.parts.iter().zip(segments).filter_map(|(part, segment)| match part {
            Part::Literal(_) => None,
            Part::Placeholder(name) => Some((name.as_str(), segment.as_str())),
        })
    }

    /// Whether every path of the form of `other` has this form, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let length = self.parts.len();
        self.version == other.version
            && length == other.parts.len()
            && self.parts.iter().zip(&other.parts).enumerate().all(|(position, pair)| match pair {
                (Part::Placeholder(_), Part::Placeholder(_)) => true,
                (Part::Placeholder(_), Part::Literal(literal)) => {
                    stands_for_a_key(position, literal, length)
                }
                (Part::Literal(one), Part::Literal(two)) => one.eq_ignore_ascii_case(two),
                (Part::Literal(_), Part::Placeholder(_)) => false,
            })
    }

    /// Whether `segments` (decoded, without the version) have this form.
    pub(crate) fn matches(&self, version: &str, segments: &[String]) -> bool {
        self.version == version
            && self.parts.len() == segments.len()
            && self.parts.iter().zip(segments).enumerate().all(|(position, (part, segment))| {
                match part {
                    Part::Literal(literal) => literal.eq_ignore_ascii_case(segment),
                    Part::Placeholder(_) => stands_for_a_key(position, segment, segments.len()),
                }
            })
    }
}

/// Whether a segment can be the key that a placeholder stands for.
///
/// Functions, casts, system segments and the operations that a rule has to name (contract: "refused
/// unless a rule names them") are not keys, so that `/v1.0/{x}` does not open `/v1.0/subscriptions`.
fn stands_for_a_key(position: usize, segment: &str, length: usize) -> bool {
    let lower = segment.to_ascii_lowercase();
    let operation = match position {
        0 => matches!(lower.as_str(), "me" | "subscriptions" | "search"),
        _ => position + 1 == length && matches!(lower.as_str(), "addpassword" | "addkey"),
    };
    !(operation
        || segment.is_empty()
        || segment.starts_with('$')
        || segment.contains(['(', ')', ':'])
        || lower == "delta"
        || lower.starts_with("microsoft.graph.")
        || lower.starts_with("graph."))
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let versions = ["v1.0", "beta"];
        let (version, path) = versions
            .into_iter()
            .find_map(|version| Some((version, text.strip_prefix('/')?.strip_prefix(version)?)))
            .ok_or(TemplateError::Version)?;
        let path = match path.strip_prefix('/') {
            Some(path) => path,
            None if path.is_empty() => return Err(TemplateError::Segment),
            None => return Err(TemplateError::Version),
        };
        let parts = path.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        let template = Self { text: text.into(), version, parts };
        let mut names: Vec<&str> = template.names().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, two] if one == two)) {
            return Err(TemplateError::Repeated);
        }
        Ok(template)
    }
}

fn part(segment: &str) -> Result<Part, TemplateError> {
    if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let named =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if named {
            Ok(Part::Placeholder(name.to_owned()))
        } else {
            Err(TemplateError::Placeholder)
        };
    }
    if segment.contains(['{', '}']) {
        return Err(TemplateError::Placeholder);
    }
    let plain =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'%' | b'?' | b'#' | b'\\' | b';' | b'*');
    if segment.is_empty() || !segment.bytes().all(plain) || matches!(segment, "." | "..") {
        return Err(TemplateError::Segment);
    }
    Ok(Part::Literal(segment.to_owned()))
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, path: &str) -> bool {
        let (version, rest) = path[1..].split_once('/').unwrap();
        let segments: Vec<String> = rest.split('/').map(str::to_owned).collect();
        template.parse::<Template>().unwrap().matches(version, &segments)
    }

    #[test]
    fn a_placeholder_stands_for_one_key() {
        assert!(matches("/v1.0/users/{id}", "/v1.0/users/ada@contoso.example"));
        assert!(matches("/v1.0/users/{id}", "/v1.0/Users/ada@contoso.example"));
        assert!(!matches("/v1.0/users/{id}", "/v1.0/users"));
        assert!(!matches("/v1.0/users/{id}", "/v1.0/users/ada/messages"));
        assert!(!matches("/v1.0/users/{id}", "/beta/users/ada"));
    }

    #[test]
    fn a_placeholder_never_stands_for_a_function_cast_or_system_segment() {
        for segment in [
            "$ref",
            "$count",
            "delta",
            "Delta",
            "getByIds(x)",
            "root:",
            "microsoft.graph.user",
            "graph.user",
            "",
        ] {
            assert!(!matches("/v1.0/users/{id}", &format!("/v1.0/users/{segment}")), "{segment}");
        }
    }

    #[test]
    fn operations_that_a_rule_must_name_are_not_reached_by_a_placeholder() {
        for path in ["/v1.0/me", "/v1.0/$batch", "/v1.0/Subscriptions", "/v1.0/search"] {
            assert!(!matches("/v1.0/{any}", path), "{path}");
        }
        assert!(!matches("/v1.0/applications/{id}/{action}", "/v1.0/applications/1/addPassword"));
        assert!(matches("/v1.0/applications/{id}/addPassword", "/v1.0/applications/1/addPassword"));
        assert!(matches("/v1.0/$batch", "/v1.0/$batch"));
    }

    #[test]
    fn malformed_templates_are_refused() {
        for (text, error) in [
            ("users/{id}", TemplateError::Version),
            ("/users/{id}", TemplateError::Version),
            ("/v1.0", TemplateError::Segment),
            ("/v1.0//users", TemplateError::Segment),
            ("/v1.0/users/", TemplateError::Segment),
            ("/v1.0/users?$top=1", TemplateError::Segment),
            ("/v1.0/users/*", TemplateError::Segment),
            ("/v1.0/users/{id", TemplateError::Placeholder),
            ("/v1.0/users/a{id}", TemplateError::Placeholder),
            ("/v1.0/users/{}", TemplateError::Placeholder),
            ("/v1.0/users/{id}/messages/{id}", TemplateError::Repeated),
        ] {
            assert_eq!(text.parse::<Template>(), Err(error), "{text}");
        }
    }
}
