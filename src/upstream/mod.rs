//! MCP servers behind us: each at `/servers/{id}/mcp`, a protected resource of its own.
//!
//! The token check makes a principal for this server's audience alone; [`Server`] reads the message once, asks policy,
//! and sends the very bytes that were decided about. What comes back is looked at message by message as it arrives:
//! lists are filtered, answers belong to what was asked, and the audit log has the terminal event before the client has
//! the answer. Nothing of the caller's token goes on, and nothing of the server's headers comes back. Between the two
//! eras of the protocol `era` translates.

mod admit;
mod answer;
mod ask_person;
mod caller_tokens;
mod client_credentials;
mod credential;
mod definition;
mod ending;
mod era;
mod events;
mod fault;
mod fold;
mod headers;
mod id_jag;
mod identity;
mod incoming;
mod inspect;
mod list;
mod looked;
mod lost;
mod on_behalf_of;
mod ours;
mod per_user;
mod pinned;
mod probe;
mod reach;
mod reader;
mod refused;
mod reply;
mod seen;
mod server;
mod session;
mod shown;
mod stdio;
mod streaming;
mod token_exchange;
mod told;
mod traced;
mod waiting;
mod wanted;
mod watch;
mod who;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use tower::{ServiceBuilder, service_fn};

use crate::guard::{Endpoint, Presented, Recorder, record_refusals};
use crate::resource_server::RequireTokenLayer;

pub use crate::guard::Decider;
pub use caller_tokens::{CallerTokens, How};
pub use client_credentials::{Cached, ClientCredentials};
pub use credential::Credential;
pub use era::{Era, Eras};
pub use fold::{Around, Folded};
pub use id_jag::IdJag;
pub use identity::{Identity, Vouch};
pub use inspect::{Remark, compare_kept, inspect_kept};
pub use on_behalf_of::OnBehalfOf;
pub use per_user::{PerUser, person_of};
pub use probe::{Inspected, Probe, ProbeError};
pub use reach::{Reach, outage_name};
pub use server::Server;
pub use session::Sessions;
pub use stdio::{ChildSettings, Hosted};
pub use token_exchange::{IdTokens, Subject, TokenExchange};
pub use waiting::Waiting;
pub use watch::{OnFlaw, Watch};

/// The guarded endpoint of one server.
#[must_use]
pub fn endpoint(server: Server, token: RequireTokenLayer, recorder: Recorder) -> Endpoint {
    let server = Arc::new(server);
    let noted = server.credential.needs_the_callers_token();
    let answers = service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.serve(request).await) }
    });
    let guarded = ServiceBuilder::new().layer(token).service(answers);
    let recorder = Arc::new(recorder);
    Endpoint::new(move |mut request| {
        if noted {
            Presented::note(&mut request);
        }
        let (recorder, guarded) = (Arc::clone(&recorder), guarded.clone());
        Box::pin(async move { Ok(record_refusals(&recorder, guarded, request).await) })
    })
}
