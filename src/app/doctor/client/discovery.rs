//! How a client finds the authorization server: the 401, the resource's metadata, the issuer's metadata.

use http::Method;
use serde_json::Value;
use url::Url;

use crate::app::doctor::clients::{Client, Unnamed};
use crate::app::doctor::outside::{below, text};
use crate::app::doctor::{Area, Step, Verdict};
use crate::app::endpoints::names;
use crate::broker::Situation;
use crate::outbound::Call;
use crate::resource_server::well_known_url;

use super::challenge::{challenged, unnamed};
use super::endpoints::endpoint;
use super::{KEY, URL, Walk, bad, lists};

impl Walk<'_> {
    /// MCP authorization: the first request has no token.
    pub(super) async fn challenge(&mut self) -> Result<Option<Url>, Step> {
        let mut call = Call::get(below(self.config, "/mcp"));
        call.method = Method::POST;
        let answer = self.send(call).await?;
        let Some(url) = challenged(&answer)? else {
            self.goes_on_without()?;
            return Ok(None);
        };
        let public = &self.config.server.public_url;
        if url.origin() == public.origin() {
            self.good("the endpoint answers 401 and says where its metadata is");
            return Ok(Some(url));
        }
        let there = url.origin().ascii_serialization();
        Err(Step::bad(Area::Client, URL, format!("the 401 names metadata at {there}"))
            .allowed(public.origin().ascii_serialization())
            .hint("the broker that runs there has another server.public_url: scheme, host and port have to be those that clients use"))
    }

    fn goes_on_without(&mut self) -> Result<(), Step> {
        let then = match self.client.unnamed {
            Unnamed::Stops => {
                return Err(unnamed().then("It was not seen to look for the metadata elsewhere."));
            }
            Unnamed::LooksAtThePath => {
                "It looks where the metadata usually is, and misses what the 403 of a step-up says."
            }
            Unnamed::AsksTheOrigin => {
                "It takes the origin for the issuer, and misses what the 403 of a step-up says."
            }
        };
        self.steps.push(Step { verdict: Verdict::Warning, ..unnamed().then(then) });
        Ok(())
    }

    /// The issuer, by the resource's metadata where the client looks at that.
    pub(super) async fn issuer(&mut self, named: Option<Url>) -> Result<String, Step> {
        let public = &self.config.server.public_url;
        let places = match (named, self.client.unnamed) {
            (Some(url), _) => vec![url],
            (None, Unnamed::AsksTheOrigin) => {
                let issuer = public.origin().ascii_serialization();
                self.good(format!("the client takes the origin for the issuer: {issuer}"));
                return Ok(issuer);
            }
            (None, Unnamed::LooksAtThePath | Unnamed::Stops) => {
                let mut root = public.clone();
                root.set_path("/");
                vec![well_known_url(&below(self.config, "/mcp")), well_known_url(&root)]
            }
        };
        let mut missing = String::new();
        for place in places {
            self.preflight_of_documents(&place).await?;
            if let Some(document) = self.json(place.clone()).await? {
                return self.resource(&document);
            }
            if missing.is_empty() {
                place.path().clone_into(&mut missing);
            }
        }
        Err(bad(format!("{missing} is no metadata"))
            .hint("the proxy has to pass /.well-known/ to the broker"))
    }

    /// RFC 9728 §3.3: the resource has to be the one that was called.
    fn resource(&mut self, document: &Value) -> Result<String, Step> {
        let ours = names(&self.config.server.public_url).into_iter().next();
        let ours = ours.map(|name| name.resource.to_string()).unwrap_or_default();
        if text(document, "resource") != Some(&*ours) {
            let step =
                bad("the metadata names another resource than was called").allowed(ours).hint(
                    "strict clients stop here; server.public_url has to be what clients are given",
                );
            return Err(match self.client.family.own_way(Situation::NoToken) {
                Some(then) => step.then(then),
                None => step,
            });
        }
        if document.get("dpop_bound_access_tokens_required") == Some(&Value::Bool(true)) {
            let name = self.client.name;
            let found = format!("every token has to be bound to a key (DPoP), and {name} has none");
            return Err(Step::bad(Area::Client, "resource_server.dpop", found)
                .allowed("\"allowed\": clients that can do DPoP bind their tokens, the others get plain ones")
                .hint("where single servers or clients are to be held to it: upstream.server.dpop_required, authorization_server.client.dpop_bound_access_tokens"));
        }
        let first = document.get("authorization_servers").and_then(|servers| servers.get(0));
        let issuer = first.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            bad("the metadata names no authorization server")
                .hint("authorization_server.enabled = true, or an issuer in resource_server.issuer")
        })?;
        self.good(format!("its metadata names it as it is called, and the issuer {issuer}"));
        Ok(issuer)
    }

    /// RFC 8414 §3.1, and `OpenID` Connect's two places for the same.
    pub(super) async fn server(&mut self, issuer: &str) -> Result<Value, Step> {
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
                complete(&self.client, &document, issuer, &mut self.steps)?;
                return Ok(document);
            }
        }
        Err(bad("the issuer has no metadata where clients look for it")
            .hint("the proxy has to pass /.well-known/ of the issuer's host, too"))
    }
}

/// What every client needs of the issuer (MCP authorization; RFC 8414 §3.3), and what this one does.
fn complete(
    client: &Client,
    document: &Value,
    issuer: &str,
    steps: &mut Vec<Step>,
) -> Result<(), Step> {
    if text(document, "issuer") != Some(issuer) {
        return Err(bad("the issuer's metadata names another issuer")
            .allowed(issuer.to_owned())
            .hint(
                "strict clients stop here: byte for byte, with or without the slash at the end",
            ));
    }
    if !lists(document, "code_challenge_methods_supported", "S256") {
        return Err(bad("the issuer does not say that it takes PKCE")
            .allowed("code_challenge_methods_supported with S256"));
    }
    let endpoints =
        [endpoint(document, "authorization_endpoint")?, endpoint(document, "token_endpoint")?];
    let is = |member: &str| document.get(member) == Some(&Value::Bool(true));
    if is("require_pushed_authorization_requests") {
        let name = client.name;
        let found =
            format!("authorization requests have to be pushed (PAR), which {name} does not do");
        let key = "authorization_server.require_pushed_authorization_requests";
        return Err(Step::bad(Area::Client, key, found)
            .allowed("false")
            .hint("it can be asked of single clients: require_pushed_authorization_requests of an [[authorization_server.client]], or of a client's own document"));
    }
    let elsewhere =
        |url: &&Url| Url::parse(issuer).is_ok_and(|issuer| issuer.origin() != url.origin());
    let named = is("authorization_response_iss_parameter_supported");
    if let Some(url) = endpoints.iter().find(elsewhere).filter(|_| client.needs_iss && !named) {
        let there = url.origin().ascii_serialization();
        return Err(bad(format!("the issuer's endpoints are at {there}, and its answers do not name it"))
            .allowed("endpoints at the issuer's own origin, or authorization_response_iss_parameter_supported (RFC 9207)")
            .hint("something changes the metadata on its way, or another server answers there"));
    }
    if client.wants_offline && !lists(document, "scopes_supported", "offline_access") {
        let found = "the issuer's metadata does not list offline_access";
        let step = Step::warning(Area::Client, KEY, found)
            .allowed("scopes_supported with offline_access")
            .hint("something changes the metadata on its way, or another server answers there");
        let then = "It gets no refresh token: its person logs in again after each hour.";
        steps.push(step.then(then));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::broker::Family;

    use super::*;

    /// What is said of an issuer's metadata by a client, with this member changed.
    fn said(family: Family, member: &str, value: Value) -> Vec<(Verdict, String)> {
        let mut document = json!({
            "issuer": "https://a.example", "code_challenge_methods_supported": ["S256"],
            "authorization_endpoint": "https://a.example/authorize",
            "token_endpoint": "https://a.example/token", "scopes_supported": ["offline_access"],
        });
        document[member] = value;
        let (client, mut steps) = (Client::of(family).unwrap(), Vec::new());
        if let Err(step) = complete(&client, &document, "https://a.example", &mut steps) {
            steps.push(step);
        }
        steps.into_iter().map(|step| (step.verdict, step.found)).collect()
    }

    #[test]
    fn clients_differ_in_what_they_need_of_the_issuer() {
        let scopes = || json!(["public:read"]);
        let missing = "the issuer's metadata does not list offline_access".to_owned();
        let told = said(Family::Claude, "scopes_supported", scopes());
        assert_eq!(told, [(Verdict::Warning, missing)]);
        assert_eq!(said(Family::Cursor, "scopes_supported", scopes()), []);

        let elsewhere = || json!("https://b.example/token");
        let told = said(Family::Codex, "token_endpoint", elsewhere());
        let there =
            "the issuer's endpoints are at https://b.example, and its answers do not name it";
        assert_eq!(told, [(Verdict::Bad, there.to_owned())]);
        assert_eq!(said(Family::ClaudeCode, "token_endpoint", elsewhere()), []);
    }
}
