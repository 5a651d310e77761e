//! `broker doctor --as-client`: the steps that a client takes until it would ask a person, and the first of them that fails.
//!
//! A client that registers itself is registered, as the real one would be: nothing else is left behind. No person is asked, so no
//! token is given out: at the token endpoint a code that is none has to be refused as one.

mod challenge;
mod discovery;
mod endpoints;
mod identity;
mod pace;
mod page;
mod reach;

use http::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::config::Config;
use crate::outbound::{Answer, Call, Limits, Outbound, OutboundError};
use crate::time::Clock;

use super::clients::{Client, Place};
use super::outside::{LIMITS, client as outbound_for, unreached};
use super::{Area, Step};

use identity::Known;

const KEY: &str = "authorization_server";
const URL: &str = "server.public_url";
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Takes the steps of `client` until one fails.
pub async fn as_client(config: &Config, client: Client, clock: &dyn Clock) -> Vec<Step> {
    let outbound = match outbound_for(config) {
        Ok(outbound) => outbound,
        Err(problem) => return vec![Step::bad(Area::Client, "outbound", problem)],
    };
    let steps = Vec::new();
    let mut walk = Walk { config, client, outbound, clock, steps, without_address: None };
    if let Err(step) = walk.all().await {
        walk.steps.push(step);
    }
    walk.steps
}

struct Walk<'a> {
    config: &'a Config,
    client: Client,
    outbound: Outbound,
    clock: &'a dyn Clock,
    /// Those that went well, and warnings.
    steps: Vec<Step>,
    /// Said where nobody is reached: the name has no address here, and a proxy may know one.
    without_address: Option<Step>,
}

fn bad(found: impl Into<String>) -> Step {
    Step::bad(Area::Client, KEY, found)
}

impl Walk<'_> {
    async fn all(&mut self) -> Result<(), Step> {
        self.reachable().await?;
        let named = self.challenge().await?;
        if let Place::Page(origin) = self.client.place {
            self.endpoint_from_page(origin).await?;
            self.good(format!("a page of {origin} may call it, and read the 401 (CORS)"));
        }
        let issuer = self.issuer(named).await?;
        let server = self.server(&issuer).await?;
        self.good("the issuer's metadata has everything that the client needs");
        let client_id = match self.known(&server)? {
            Known::ByDocument(url) => {
                self.good(format!("the client is known by its document {url}"));
                url.to_owned()
            }
            Known::OnceRegistered(endpoint) => {
                let client_id = self.register(endpoint).await?;
                self.good(format!("the client registered itself as {client_id}"));
                client_id
            }
        };
        self.authorize(&server, &client_id).await?;
        self.good("its authorization request is taken, and a person would be asked");
        let step = self.token(&server, &client_id).await?;
        self.steps.push(step);
        Ok(())
    }

    fn good(&mut self, found: impl Into<String>) {
        self.steps.push(Step::good(Area::Client, found));
    }

    /// As every request of the client is sent. An answer that came late is told, one that came too late is a failure.
    async fn send(&mut self, call: Call) -> Result<Answer, Step> {
        let call = call.header(VERSION, HeaderValue::from_static("2025-11-25"));
        let what = format!("{} {}", call.method, call.url.path());
        let limits = Limits { timeout: self.client.budget.unwrap_or(LIMITS.timeout), ..LIMITS };
        let began = self.clock.monotonic();
        let sent = self.outbound.send(call, limits).await;
        let took = self.clock.monotonic().saturating_sub(began);
        let answer = sent.map_err(|error| self.unanswered(&what, &error))?;
        pace::judge(&self.client, &what, took, &mut self.steps)?;
        Ok(answer)
    }

    fn unanswered(&self, what: &str, error: &OutboundError) -> Step {
        match (error, self.client.budget, &self.without_address) {
            (OutboundError::Timeout { .. }, Some(budget), _) => {
                pace::too_late(&self.client, what, budget)
            }
            (OutboundError::Connect { .. }, _, Some(step)) => step.clone(),
            _ => Step { area: Area::Client, ..unreached(error) },
        }
    }

    /// A document that the client fetches. `None`: there is none.
    async fn json(&mut self, url: Url) -> Result<Option<Value>, Step> {
        let path = url.path().to_owned();
        let answer = self.fetch(Call::get(url)).await?;
        let document = answer.status.is_success().then(|| serde_json::from_slice(&answer.body));
        let Some(Ok(document)) = document else { return Ok(None) };
        self.readable(&path, &answer)?;
        Ok(Some(document))
    }
}

/// A member that is a list with this text in it.
fn lists(document: &Value, member: &str, text: &str) -> bool {
    let listed = document.get(member).and_then(Value::as_array);
    listed.is_some_and(|listed| listed.iter().any(|one| one == text))
}
