//! How a client says who it is.

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::app::doctor::clients::Identity;
use crate::app::doctor::outside::{below, text};
use crate::app::doctor::{Area, Step};
use crate::authorization_server::KnownClients;
use crate::broker::{Situation, next_step};
use crate::host_trust::{HostTrust, HostTrusts};
use crate::outbound::Call;

use super::endpoints::error_of;
use super::{Walk, lists};

const DOCUMENTS: &str = "authorization_server.client_metadata_documents";
const REGISTRATION: &str = "authorization_server.dynamic_registration";

/// What the issuer's metadata lets a client be.
pub(super) enum Known {
    ByDocument(&'static str),
    /// It has to register here.
    OnceRegistered(Url),
}

impl Walk<'_> {
    pub(super) fn known(&mut self, server: &Value) -> Result<Known, Step> {
        let endpoint = text(server, "registration_endpoint").and_then(|url| Url::parse(url).ok());
        let (url, else_registers) = match (self.client.identity, endpoint.clone()) {
            (Identity::Registers, Some(endpoint)) => return Ok(Known::OnceRegistered(endpoint)),
            (Identity::Registers, None) => {
                return Err(self.not_registered("clients cannot register themselves".to_owned()));
            }
            (Identity::Document { url, else_registers }, _) => (url, else_registers),
        };
        let taken = server.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
        if taken && lists(server, "token_endpoint_auth_methods_supported", "none") {
            return self.trusted(url).map(|()| Known::ByDocument(url));
        }
        let found = "clients that name themselves by a document are not taken";
        let told = |step: Step| {
            step.allowed("client_id_metadata_document_supported, and the method none")
                .hint("authorization_server.client_metadata_documents = \"allow\", or list with this client's URL")
        };
        match endpoint.filter(|_| else_registers) {
            Some(endpoint) => {
                let step = told(Step::warning(Area::Client, DOCUMENTS, found));
                self.steps.push(step.then("It registers itself instead, anew on every computer."));
                Ok(Known::OnceRegistered(endpoint))
            }
            None => Err(told(Step::bad(Area::Client, DOCUMENTS, found))),
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

    /// Where its answers go; of those that name the server in it, this one.
    pub(super) fn redirect_uris(&self) -> Vec<String> {
        let server = below(self.config, "/mcp");
        let uris = self.client.redirect_uris.iter();
        uris.map(|uri| KnownClients::at_server(uri, server.as_str())).collect()
    }

    /// RFC 7591 §3.1
    pub(super) async fn register(&mut self, endpoint: Url) -> Result<String, Step> {
        self.preflight(&endpoint, "content-type").await?;
        let body = json!({
            "client_name": format!("{} (broker doctor)", self.client.name),
            "redirect_uris": self.redirect_uris(),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let path = endpoint.path().to_owned();
        let mut call = Call::get(endpoint)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (call.method, call.body) = (Method::POST, body.to_string().into());
        let answer = self.fetch(call).await?;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, text(&document, "client_id")) {
            (StatusCode::CREATED, Some(client_id)) => {
                self.readable(&path, &answer)?;
                Ok(client_id.to_owned())
            }
            (status, _) => {
                let found = format!("registration is answered {status}{}", error_of(&document));
                Err(self.not_registered(found))
            }
        }
    }

    fn not_registered(&self, found: String) -> Step {
        Step::bad(Area::Client, REGISTRATION, found)
            .hint("authorization_server.dynamic_registration = \"limited\", or register this client yourself: broker client add")
            .then(next_step(Some(self.client.family), Situation::RegistrationRefused))
    }
}
