//! Our names: `public_url`, and on http loopback the other spelling of the same machine.

use url::{Host, Url};

/// One name under which the MCP endpoint is reached.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// What every path of this name begins with.
    pub(super) base: Url,
    /// `host[:port]` as clients write it in `Host`.
    pub(super) authority: String,
    /// Without the port: what rmcp compares.
    pub(super) host: String,
    /// The protected resource: this name's `/mcp`.
    pub(super) resource: Url,
}

/// `public_url` first. `localhost` and `127.0.0.1` are aliases of each other, with the same port: a
/// closed set of two, never taken from a request.
pub(super) fn names(public_url: &Url) -> Vec<Name> {
    let alias = match public_url.host() {
        Some(Host::Domain("localhost")) => Some("127.0.0.1"),
        Some(Host::Ipv4(address)) if address.octets() == [127, 0, 0, 1] => Some("localhost"),
        _ => None,
    };
    let alias = alias.filter(|_| public_url.scheme() == "http").and_then(|host| {
        let mut other = public_url.clone();
        other.set_host(Some(host)).ok()?;
        Some(other)
    });
    std::iter::once(public_url).chain(&alias).filter_map(name).collect()
}

fn name(base: &Url) -> Option<Name> {
    let host = base.host_str()?.to_owned();
    let authority = match base.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    // A path of `public_url` is the proxy's business: what arrives here has it stripped, what we publish has it.
    let mut resource = base.clone();
    resource.set_path(&format!("{}/mcp", base.path().trim_end_matches('/')));
    Some(Name { base: base.clone(), authority, host, resource })
}

impl Name {
    /// The resource that a server behind us is under this name: `/servers/{id}/mcp`.
    pub(super) fn server(&self, id: &str) -> Url {
        let mut resource = self.base.clone();
        let path = self.base.path().trim_end_matches('/');
        resource.set_path(&format!("{path}/servers/{id}/mcp"));
        resource
    }
}

/// Our issuer: `public_url` without a trailing slash (RFC 8414 §2), byte for byte as published.
pub(super) fn issuer(public_url: &Url) -> String {
    public_url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(public_url: &str) -> Vec<String> {
        names(&public_url.parse().unwrap()).iter().map(|name| name.resource.to_string()).collect()
    }

    #[test]
    fn loopback_has_two_names_and_everything_else_has_one() {
        assert_eq!(
            resources("http://127.0.0.1:8080"),
            ["http://127.0.0.1:8080/mcp", "http://localhost:8080/mcp"]
        );
        assert_eq!(
            resources("http://localhost:8080/"),
            ["http://localhost:8080/mcp", "http://127.0.0.1:8080/mcp"]
        );
        assert_eq!(resources("https://localhost"), ["https://localhost/mcp"]);
        assert_eq!(resources("https://broker.example/base"), ["https://broker.example/base/mcp"]);
    }

    #[test]
    fn the_issuer_has_no_trailing_slash() {
        assert_eq!(issuer(&"https://broker.example/".parse().unwrap()), "https://broker.example");
    }
}
