//! What a form of ours sends, read strictly.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

/// The fields of one form. Their values come from outside and are not shown by `Debug`.
pub(crate) struct PageForm(BTreeMap<String, String>);

impl PageForm {
    /// `None` for another content type (a cross-site form may send `text/plain`), a field that comes twice, and a zero byte,
    /// which nobody types and PostgreSQL keeps in no text.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let stated = types.next()?.to_str().ok()?;
        let essence = stated.split(';').next().unwrap_or_default().trim();
        if types.next().is_some()
            || !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return None;
        }
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if name.contains('\0') || value.contains('\0') {
                return None;
            }
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// Empty where there is no such field.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The same, `None` where it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }
}

impl std::fmt::Debug for PageForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content_type: &str, body: &str) -> Option<PageForm> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        PageForm::parse(&headers, body.as_bytes())
    }

    // N103
    #[test]
    fn only_a_form_with_each_field_once_is_read() {
        let form =
            parse("application/x-www-form-urlencoded; charset=utf-8", "a=1&b=x+y%21").unwrap();
        assert_eq!((form.text("a"), form.text("b"), form.text("c")), ("1", "x y!", ""));
        for content_type in ["text/plain", "application/json", "multipart/form-data", ""] {
            assert!(parse(content_type, "a=1").is_none(), "{content_type}");
        }
        assert!(parse("application/x-www-form-urlencoded", "a=1&a=1").is_none());
        for body in ["a=1&%61=1", "username=a%00b", "a%00b=1"] {
            assert!(parse("application/x-www-form-urlencoded", body).is_none(), "{body}");
        }
    }

    #[test]
    fn debug_shows_names_only() {
        let form = parse("application/x-www-form-urlencoded", "password=hunter2").unwrap();
        assert_eq!(format!("{form:?}"), r#"{"password"}"#);
    }
}
