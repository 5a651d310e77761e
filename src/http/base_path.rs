//! The path of `server.public_url`, where it has one: taken off every request before a route is looked for.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Empty, or such as `/broker`.
///
/// A proxy in front of us may send the path on or take it off: both are answered alike, so neither is a setting. The
/// settings refuse a path that begins like one of our own routes, so no request means two things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

const WELL_KNOWN: &str = "/.well-known/";

impl BasePath {
    /// `path` as in `public_url`; a slash at its end says nothing.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.trim_end_matches('/').into())
    }

    /// A path of ours as clients write it.
    pub(super) fn before(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The request as it would be without the path. Nothing but the path of its target changes.
    pub(super) fn strip(&self, mut request: Request) -> Request {
        if let Some(uri) = self.stripped(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }

    fn stripped(&self, uri: &Uri) -> Option<Uri> {
        let path = self.inner(uri.path())?;
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        Uri::from_parts(parts).ok()
    }

    /// `None` where the path is not in it: at its beginning, or after the name of a well-known document, where RFC 8414
    /// §3.1 and RFC 9728 §3.1 put it.
    pub(super) fn inner(&self, path: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        if let Some(rest) = self.after(path) {
            return Some(if rest.is_empty() { "/" } else { rest }.to_owned());
        }
        let named = path.strip_prefix(WELL_KNOWN)?;
        let (name, rest) = named.split_at(named.find('/')?);
        Some(format!("{WELL_KNOWN}{name}{}", self.after(rest)?))
    }

    /// What follows this path in `path`, whole segments only.
    fn after<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(base: &str, target: &str) -> String {
        let request = Request::builder().uri(target).body(axum::body::Body::empty()).unwrap();
        BasePath::new(base).strip(request).uri().to_string()
    }

    #[test]
    fn the_path_is_taken_off_wherever_it_stands() {
        for (target, expected) in [
            ("/broker/login?request=a", "/login?request=a"),
            ("/broker/mcp", "/mcp"),
            ("/broker", "/"),
            ("/login", "/login"),
            (
                "/.well-known/oauth-authorization-server/broker",
                "/.well-known/oauth-authorization-server",
            ),
            ("/broker/.well-known/openid-configuration", "/.well-known/openid-configuration"),
            (
                "/.well-known/oauth-protected-resource/broker/mcp?x",
                "/.well-known/oauth-protected-resource/mcp?x",
            ),
            ("https://b.example/broker/mcp", "https://b.example/mcp"),
        ] {
            assert_eq!(seen("/broker/", target), expected, "{target}");
        }
    }

    #[test]
    fn only_whole_segments_in_their_place_are_taken_off() {
        for target in
            ["/brokers/mcp", "/broker2", "/x/broker/mcp", "/.well-known/broker", "/Broker/mcp"]
        {
            assert_eq!(seen("/broker", target), target);
        }
        assert_eq!(seen("/a/b", "/a/b/mcp"), "/mcp");
        assert_eq!(seen("/a/b", "/a/mcp"), "/a/mcp");
        assert_eq!(seen("", "/mcp"), "/mcp");
        assert_eq!(seen("/", "//mcp"), "//mcp");
    }
}
