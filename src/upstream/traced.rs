//! Messages to servers behind us, as steps of the request that waits for them; the server is told which step it is.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::guard::{self, Message};
use crate::id::TraceId;
use crate::steps::{Begun, Step, What};

use super::fault::Fault;
use super::incoming::Incoming;
use super::reach::Reach;
use super::server::Server;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A message on its way, where traces are sent.
pub(super) struct Traced {
    begun: Begun,
    began: Duration,
    method: &'static str,
}

impl Traced {
    /// Says in what is sent that it belongs to a step of ours, in the place of what the caller said (W3C Trace Context §3.4).
    pub(super) fn begin(
        server: &Server,
        headers: &mut HeaderMap,
        body: &mut Bytes,
    ) -> Option<Self> {
        let begun = Begun::new()?;
        let message = Message::parse(body).ok();
        let method = message
            .as_ref()
            .map_or("none", |message| guard::method_name(message.method.as_deref()));
        if let Some(ours) = &begun.traceparent {
            let written = message.as_ref().and_then(|message| in_meta(body, message, ours));
            if let Some(written) = written {
                *body = written;
            }
            if let Ok(ours) = HeaderValue::try_from(ours) {
                headers.insert(TRACEPARENT, ours);
            }
        }
        Some(Self { begun, began: server.door.clock.monotonic(), method })
    }

    /// The head of the answer is there, or there is none.
    pub(super) fn ended(self, server: &Server, opened: Result<&Incoming, &Fault>) {
        let Self { begun, began, method } = self;
        begun.done(|| {
            let status = opened.ok().map(|incoming| incoming.status);
            let failed = match (&opened, status) {
                (Err(fault), _) => Some(fault.code().as_str().into()),
                (_, Some(status)) if status.is_client_error() || status.is_server_error() => {
                    Some(status.as_u16().to_string().into())
                }
                _ => None,
            };
            let (host, status) = match &server.reach {
                Reach::Http(url) => {
                    let host = url.host_str().unwrap_or_default().to_owned();
                    (Some((host, url.port_or_known_default())), status)
                }
                Reach::Child(_) => (None, None), // it knows no status
            };
            Step {
                what: What::Server {
                    id: server.id.clone(),
                    method,
                    host,
                    status: status.map(|status| status.as_u16()),
                },
                ended: server.door.clock.now(),
                took: server.door.clock.monotonic().saturating_sub(began),
                failed,
            }
        });
    }
}

/// The message with our `_meta.traceparent` for the caller's (MCP SEP-414). `None` where it has none, or where the same text
/// stands elsewhere, too: then it stays as it is, for nothing but the trace may be changed.
fn in_meta(body: &Bytes, message: &Message<'_>, ours: &str) -> Option<Bytes> {
    let theirs = message.traceparent()?;
    TraceId::from_traceparent(theirs)?;
    let theirs = format!("\"{theirs}\"");
    let (before, after) = std::str::from_utf8(body).ok()?.split_once(&theirs)?;
    let once = !after.contains(&theirs);
    once.then(|| Bytes::from(format!("{before}\"{ours}\"{after}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01";
    const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn written(params: &str) -> Option<String> {
        let body = format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#);
        let body = Bytes::from(body.replace("THEIRS", THEIRS));
        let written = in_meta(&body, &Message::parse(&body).unwrap(), OURS)?;
        Some(String::from_utf8(written.to_vec()).unwrap())
    }

    #[test]
    fn our_span_takes_the_place_of_the_callers_and_nothing_else_changes() {
        let params =
            r#"{"name":"t","_meta":{ "a" : 1e40, "traceparent":"THEIRS" },"arguments":{"é":1}}"#;
        let expected = format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#);
        assert_eq!(written(params), Some(expected.replace("THEIRS", OURS)));
    }

    #[test]
    fn a_message_that_says_it_in_no_place_of_its_own_stays_as_it_is() {
        for params in [
            r#"{"name":"t"}"#,
            r#"{"name":"t","arguments":{"traceparent":"THEIRS"}}"#,
            r#"{"name":"t","_meta":{"traceparent":"THEIRS"},"arguments":{"a":"THEIRS"}}"#,
            r#"{"name":"t","_meta":{"traceparent":"\u0030THEIRS"}}"#,
            r#"{"name":"t","_meta":{"traceparent":"mine"}}"#,
            r#"{"name":"t","_meta":{"traceparent":7}}"#,
        ] {
            assert_eq!(written(params), None, "{params}");
        }
    }
}
