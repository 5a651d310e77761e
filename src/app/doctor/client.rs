//! `broker doctor --as-client`: the steps that a client takes until it would ask a person, and the first of them that fails.
//!
//! A client that registers itself is registered, as the real one would be: nothing else is left behind. No person is asked, so no
//! token is given out: at the token endpoint a code that is none has to be refused as one.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use url::{Host, Url};

use crate::app::endpoints::names;
use crate::config::Config;
use crate::host_trust::{HostTrust, HostTrusts};
use crate::outbound::{Answer, Call, Outbound, is_public};

use super::challenge::challenged;
use super::clients::{Client, Identity};
use super::outside::{LIMITS, below, client as outbound_for, text, unreached};
use super::{Area, Step};

const KEY: &str = "authorization_server";
/// RFC 7636 Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Takes the steps of `client` until one fails.
pub async fn as_client(config: &Config, client: Client) -> Vec<Step> {
    let mut steps = Vec::new();
    let outbound = match outbound_for(config) {
        Ok(outbound) => outbound,
        Err(problem) => return vec![Step::bad(Area::Client, "outbound", problem)],
    };
    let walk = Walk { config, client, outbound };
    if let Err(step) = walk.all(&mut steps).await {
        steps.push(step);
    }
    steps
}

struct Walk<'a> {
    config: &'a Config,
    client: Client,
    outbound: Outbound,
}

fn good(found: impl Into<String>) -> Step {
    Step::good(Area::Client, found)
}

fn bad(found: impl Into<String>) -> Step {
    Step::bad(Area::Client, KEY, found)
}

impl Walk<'_> {
    async fn all(&self, steps: &mut Vec<Step>) -> Result<(), Step> {
        self.reachable().await?;
        let metadata = self.challenge().await?;
        steps.push(good("the endpoint answers 401 and says where its metadata is"));
        if let Some(origin) = self.client.origin {
            self.preflight(origin).await?;
            steps.push(good(format!("a page of {origin} may call it (CORS)")));
        }
        let issuer = self.resource(metadata).await?;
        steps.push(good(format!("its metadata names it as it is called, and the issuer {issuer}")));
        let server = self.server(&issuer).await?;
        steps.push(good("the issuer's metadata has everything that the client needs"));
        let client_id = self.identity(&server).await?;
        steps.push(good(match self.client.identity {
            Identity::Document(url) => format!("the client is known by its document {url}"),
            Identity::Registers(_) => format!("the client registered itself as {client_id}"),
        }));
        self.authorize(&server, &client_id).await?;
        steps.push(good("its authorization request is taken, and a person would be asked"));
        steps.push(self.token(&server, &client_id).await?);
        Ok(())
    }

    /// What can be known of it from here: the addresses that this machine finds under the name.
    async fn reachable(&self) -> Result<(), Step> {
        let url = &self.config.server.public_url;
        if !self.client.from_outside {
            return Ok(());
        }
        let at_port = url.scheme() == "https" && url.port().is_none();
        if !(at_port && is_at_public_addresses(url).await) {
            return Err(Step::bad(Area::Client, "server.public_url", format!("{url} cannot be reached from outside"))
                .allowed("https, on port 443, at a public address")
                .hint("this client calls from its maker's servers; put the broker behind a proxy with a public name"));
        }
        Ok(())
    }

    async fn send(&self, call: Call) -> Result<Answer, Step> {
        let call = call.header(VERSION, HeaderValue::from_static("2025-11-25"));
        let sent = self.outbound.send(call, LIMITS).await;
        sent.map_err(|error| Step { area: Area::Client, ..unreached(&error) })
    }

    async fn json(&self, url: Url) -> Result<Option<Value>, Step> {
        let answer = self.send(Call::get(url)).await?;
        let found =
            (answer.status == StatusCode::OK).then(|| serde_json::from_slice(&answer.body).ok());
        Ok(found.flatten())
    }

    /// MCP authorization: the first request has no token.
    async fn challenge(&self) -> Result<Url, Step> {
        let mut call = Call::get(below(self.config, "/mcp"));
        call.method = Method::POST;
        let answer = self.send(call).await?;
        let url = challenged(&answer)?;
        let public = &self.config.server.public_url;
        if url.origin() == public.origin() {
            return Ok(url);
        }
        let there = url.origin().ascii_serialization();
        Err(Step::bad(Area::Client, "server.public_url", format!("the 401 names metadata at {there}"))
            .allowed(public.origin().ascii_serialization())
            .hint("the broker that runs there has another server.public_url: scheme, host and port have to be those that clients use"))
    }

    async fn preflight(&self, origin: &'static str) -> Result<(), Step> {
        let mut call = Call::get(below(self.config, "/mcp"))
            .header(header::ORIGIN, HeaderValue::from_static(origin))
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"))
            .header(
                header::ACCESS_CONTROL_REQUEST_HEADERS,
                HeaderValue::from_static("authorization,content-type,mcp-protocol-version"),
            );
        call.method = Method::OPTIONS;
        let answer = self.send(call).await?;
        let allowed = answer.header(&header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap_or_default();
        if allowed == origin || allowed == "*" {
            return Ok(());
        }
        Err(Step::bad(
            Area::Client,
            "server.allowed_origins",
            format!("pages of {origin} may not call the endpoint"),
        )
        .hint(format!("outside dev: server.allowed_origins = [\"{origin}\"]")))
    }

    /// RFC 9728 §3.3: the resource has to be the one that was called.
    async fn resource(&self, url: Url) -> Result<String, Step> {
        let Some(document) = self.json(url.clone()).await? else {
            return Err(bad(format!("{} is no metadata", url.path()))
                .hint("the proxy has to pass /.well-known/ to the broker"));
        };
        let ours = names(&self.config.server.public_url).into_iter().next();
        let ours = ours.map(|name| name.resource.to_string()).unwrap_or_default();
        if text(&document, "resource") != Some(&*ours) {
            return Err(bad("the metadata names another resource than was called")
                .allowed(ours)
                .hint(
                    "strict clients stop here; server.public_url has to be what clients are given",
                ));
        }
        let first = document.get("authorization_servers").and_then(|servers| servers.get(0));
        first.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            bad("the metadata names no authorization server")
                .hint("authorization_server.enabled = true, or an issuer in resource_server.issuer")
        })
    }

    /// RFC 8414 §3.1, and `OpenID` Connect's two places for the same.
    async fn server(&self, issuer: &str) -> Result<Value, Step> {
        let base = Url::parse(issuer).map_err(|_| {
            bad("the issuer is no URL")
                .allowed("an https URL")
                .hint("look at resource_server.issuer")
        })?;
        let path = base.path().trim_end_matches('/').to_owned();
        let places = [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ];
        for place in places {
            let mut url = base.clone();
            url.set_path(&place);
            if let Some(document) = self.json(url).await? {
                return complete(document, issuer);
            }
        }
        Err(bad("the issuer has no metadata where clients look for it")
            .hint("the proxy has to pass /.well-known/ of the issuer's host, too"))
    }

    async fn identity(&self, server: &Value) -> Result<String, Step> {
        match self.client.identity {
            Identity::Document(url) => {
                let known = server["client_id_metadata_document_supported"] == true;
                let public = server["token_endpoint_auth_methods_supported"].as_array();
                let public =
                    public.is_some_and(|methods| methods.iter().any(|method| method == "none"));
                if known && public {
                    return self.trusted(url).map(|()| url.to_owned());
                }
                Err(Step::bad(Area::Client, "authorization_server.client_metadata_documents", "clients that name themselves by a document are not taken")
                    .allowed("client_id_metadata_document_supported, and the method none")
                    .hint("authorization_server.client_metadata_documents = \"allow\", or list with this client's URL"))
            }
            Identity::Registers(redirect_uris) => self.register(server, redirect_uris).await,
        }
    }

    /// What the settings say of the host of its document.
    fn trusted(&self, url: &str) -> Result<(), Step> {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let trusts = self.config.authorization_server.client_hosts.as_ref();
        let denied = |(trusts, host): (&HostTrusts, String)| {
            (trusts.of(&host) == HostTrust::Deny).then_some(host)
        };
        let Some(host) = trusts.zip(host).and_then(denied) else { return Ok(()) };
        let problem = format!("clients of {host} are denied");
        Err(Step::bad(Area::Client, "authorization_server.client_host", problem)
            .allowed("a rule with allow or ask, or the host on client_metadata_hosts")
            .hint("the first authorization_server.client_host that means it counts, then authorization_server.client_metadata_documents"))
    }

    async fn register(&self, server: &Value, redirect_uris: &[&str]) -> Result<String, Step> {
        let key = "authorization_server.dynamic_registration";
        let refused = |found: String| {
            Step::bad(Area::Client, key, found).hint("authorization_server.dynamic_registration = \"limited\", or register this client yourself: broker client add")
        };
        let Some(endpoint) =
            server["registration_endpoint"].as_str().and_then(|url| Url::parse(url).ok())
        else {
            return Err(refused("clients cannot register themselves".to_owned()));
        };
        let body = json!({
            "client_name": format!("{} (broker doctor)", self.client.name),
            "redirect_uris": redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let mut call = Call::get(endpoint)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (call.method, call.body) = (Method::POST, body.to_string().into());
        let answer = self.send(call).await?;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, text(&document, "client_id")) {
            (StatusCode::CREATED, Some(client_id)) => Ok(client_id.to_owned()),
            (status, _) => {
                Err(refused(format!("registration is answered {status}{}", error_of(&document))))
            }
        }
    }

    async fn authorize(&self, server: &Value, client_id: &str) -> Result<(), Step> {
        let mut url = endpoint(server, "authorization_endpoint")?;
        let resource = below(self.config, "/mcp");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", self.client.redirect_uri)
            .append_pair("code_challenge", CHALLENGE)
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", "doctor")
            .append_pair("resource", resource.as_str());
        let answer = self.send(Call::get(url)).await?;
        let to =
            answer.header(&header::LOCATION).and_then(|to| below(self.config, "/").join(to).ok());
        let error = to.as_ref().and_then(|to| to.query_pairs().find(|(name, _)| name == "error"));
        match (answer.status, error) {
            (status, None) if status.is_redirection() || status == StatusCode::OK => Ok(()),
            (_, Some((_, error))) => Err(bad(format!("the authorization request is refused: {}", word(&error)))),
            (status, None) => Err(bad(format!("the authorization request is answered {status}"))
                .hint("the client's document may not be fetched from here (outbound.proxy), or names another redirect URI; the audit log says which: oauth.authorization.refused")),
        }
    }

    async fn token(&self, server: &Value, client_id: &str) -> Result<Step, Step> {
        if self.client.from_outside {
            let why = "the token endpoint was not asked: this client proves itself by a key that it alone has";
            return Ok(Step::skipped(Area::Client, why));
        }
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", "broker-doctor"),
            ("redirect_uri", self.client.redirect_uri),
            ("client_id", client_id),
            ("code_verifier", VERIFIER),
        ];
        let answer =
            self.send(Call::post_form(endpoint(server, "token_endpoint")?, &fields)).await?;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match text(&document, "error") {
            Some("invalid_grant") => {
                Ok(good("the token endpoint knows it, and refuses a code that is none"))
            }
            Some(error) => Err(bad(format!("the token endpoint answers {}", word(error)))
                .allowed("invalid_grant, to a code that is none")),
            None => {
                Err(bad(format!("the token endpoint answers {} and no OAuth error", answer.status))
                    .hint("look where the proxy sends POST /token"))
            }
        }
    }
}

/// Whether it has an address, and none that is not public.
async fn is_at_public_addresses(url: &Url) -> bool {
    let addresses: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => {
            let looking = tokio::net::lookup_host((name, 443));
            let found = tokio::time::timeout(LIMITS.timeout, looking).await;
            let found = found.ok().and_then(Result::ok).into_iter().flatten();
            found.map(|address| address.ip()).collect()
        }
        None => Vec::new(),
    };
    !addresses.is_empty() && addresses.into_iter().all(is_public)
}

/// What every client needs of the issuer (MCP authorization; RFC 8414 §3.3).
fn complete(document: Value, issuer: &str) -> Result<Value, Step> {
    if text(&document, "issuer") != Some(issuer) {
        return Err(bad("the issuer's metadata names another issuer")
            .allowed(issuer.to_owned())
            .hint(
                "strict clients stop here: byte for byte, with or without the slash at the end",
            ));
    }
    let methods = document.get("code_challenge_methods_supported").and_then(Value::as_array);
    if !methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")) {
        return Err(bad("the issuer does not say that it takes PKCE")
            .allowed("code_challenge_methods_supported with S256"));
    }
    endpoint(&document, "authorization_endpoint")?;
    endpoint(&document, "token_endpoint")?;
    Ok(document)
}

fn endpoint(document: &Value, name: &str) -> Result<Url, Step> {
    let url = document[name].as_str().and_then(|url| Url::parse(url).ok());
    url.ok_or_else(|| {
        bad(format!("the issuer's metadata has no {name}"))
            .hint("another server answers there, or something changes the metadata on its way")
    })
}

fn error_of(document: &Value) -> String {
    document["error"].as_str().map(|error| format!(", {}", word(error))).unwrap_or_default()
}

/// An error code as OAuth has them; what is none comes from somebody else and is not repeated.
fn word(error: &str) -> &str {
    let plain = error.len() <= 64 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if plain { error } else { "with something that is no error code" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_public_addresses_are_reached_from_outside() {
        for (url, public) in [
            ("https://1.1.1.1/", true),
            ("https://10.0.0.1/", false),
            ("https://[::1]/", false),
            ("https://localhost/", false),
            ("https://nobody.invalid/", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(is_at_public_addresses(&url).await, public, "{url}");
        }
    }
}
