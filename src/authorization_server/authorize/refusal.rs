//! What the audit log is told of a request that is refused: who asked as whom, for what, and why not.

use std::net::IpAddr;

use url::Url;

use crate::audit::{AuditError, AuditEvent, Context, Sent};
use crate::authorization_server::client::ClientError;
use crate::authorization_server::form::Form;
use crate::authorization_server::pages::Fault;
use crate::authorization_server::sent::of_form;
use crate::authorization_server::server::AuthorizationServer;
use crate::id::{ClientId, RequestId, TraceId};

use super::request::Rejected;

const MAX_RESOURCE: usize = 512;

/// What a request says of itself. Nothing of it is proven.
#[derive(Debug, Default)]
pub(super) struct Asked {
    client_id: Option<ClientId>,
    /// Without user, query and fragment, where somebody may have put what is no log's.
    resource: Option<String>,
    sent: Box<Sent>,
}

impl Asked {
    pub(super) fn of(form: &Form) -> Self {
        Self {
            client_id: form.get("client_id").and_then(|id| id.parse().ok()),
            resource: asked_resource(form),
            sent: Box::new(of_form("/authorize", None, form)),
        }
    }

    /// Records the refusal, as far as the network of `address` has lines left: nobody at `/authorize` has proven anything.
    /// What could not be decided is no refusal.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: what cannot be recorded is not answered.
    pub(super) async fn record(
        self,
        server: &AuthorizationServer,
        (request_id, address): (RequestId, Option<IpAddr>),
        rejected: &Rejected,
    ) -> Result<(), AuditError> {
        let Some(error) = reason(rejected) else { return Ok(()) };
        if !server.auditor.admit_refusal(address) {
            return Ok(());
        }
        let context = Context {
            request_id,
            trace_id: TraceId::generate(&*server.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let Self { client_id, resource, sent } = self;
        let sent = Box::new(Sent { error_description: description(rejected), ..*sent });
        let event =
            AuditEvent::AuthorizeRefuse { error, unverified_client_id: client_id, resource, sent };
        server.auditor.record(&context, event).await.map(drop)
    }
}

/// `None` where the request was not decided: too many, or something of ours was away.
const fn reason(rejected: &Rejected) -> Option<&'static str> {
    match rejected {
        Rejected::Client { refused, .. } => Some(refused.code()),
        Rejected::Page(Fault::UnknownClient(ClientError::Secret(_))) => None,
        Rejected::Page(Fault::UnknownClient(_)) => Some("invalid_client"),
        Rejected::Page(Fault::WrongRedirect) => Some("invalid_redirect_uri"),
        Rejected::Page(Fault::MalformedRequest(_)) => Some("invalid_request"),
        Rejected::Page(Fault::NoRequest) => Some("invalid_request_uri"),
        Rejected::Page(_) => None,
    }
}

const fn description(rejected: &Rejected) -> Option<&'static str> {
    match rejected {
        Rejected::Client { refused, .. } => Some(refused.description()),
        Rejected::Page(Fault::MalformedRequest(what)) => Some(what),
        Rejected::Page(Fault::UnknownClient(error)) => error.denied_host(),
        Rejected::Page(_) => None,
    }
}

/// What a request asks for, as far as it is for a log.
pub(in crate::authorization_server) fn asked_resource(form: &Form) -> Option<String> {
    form.get("resource").filter(|text| text.len() <= MAX_RESOURCE).and_then(plain)
}

fn plain(resource: &str) -> Option<String> {
    let mut url = Url::parse(resource).ok().filter(Url::has_host)?;
    url.set_query(None);
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_resource_only_its_place_is_kept() {
        for (resource, kept) in [
            ("https://u:p@a.example/mcp?token=x#y", Some("https://a.example/mcp")),
            ("urn:x", None),
            ("/mcp", None),
        ] {
            assert_eq!(plain(resource).as_deref(), kept, "{resource}");
        }
    }
}
