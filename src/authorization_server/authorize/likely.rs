//! Which app somebody may have whose request ends on an error page, so that the page begins with theirs.

use std::net::IpAddr;

use crate::authorization_server::client::{Client, Redirects};
use crate::authorization_server::form::Form;
use crate::authorization_server::pages::Fault;
use crate::authorization_server::server::AuthorizationServer;
use crate::broker::Family;

use super::request::find_client;

/// By the client's own id or name; else by where its answers go, as it registered, or else as it asks. Nothing of it is proven.
pub(super) async fn likely_apps(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    (form, fault): (&Form, &Fault),
) -> Vec<Family> {
    // Only these say how to start anew; and who is not known is not looked for again.
    let client = match fault {
        Fault::WrongRedirect | Fault::NoRequest | Fault::MalformedRequest(_) => {
            find_client(server, address, form).await.ok()
        }
        Fault::UnknownClient(_) => None,
        _ => return Vec::new(),
    };
    let name = client.as_ref().and_then(Client::name);
    if let Some(family) = form.get("client_id").and_then(|id| Family::of(id, name)) {
        return vec![family];
    }
    let registered: Vec<Family> = match client.as_ref().map(|client| &client.redirects) {
        Some(Redirects::Listed(uris)) => {
            uris.iter().flat_map(|uri| Family::by_redirect_uri(uri.as_str())).copied().collect()
        }
        Some(Redirects::Recognised { .. }) | None => Vec::new(),
    };
    if !registered.is_empty() {
        return registered;
    }
    form.get("redirect_uri").map(Family::by_redirect_uri).unwrap_or_default().to_vec()
}
