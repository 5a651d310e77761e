//! Lines of the audit log, read back as the requests that they are of.

use serde::Deserialize;
use serde_json::Value;

use crate::id::{ClientId, Subject};
use crate::policy::{Recorded, Replay};
use crate::time::Timestamp;

use super::view::EventView;

/// What is kept of a page that was refused.
pub(super) const PAGE: &str = "page.refused";

/// One line.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "as the log names them")]
pub(super) struct Event {
    pub(super) event_type: String,
    event_id: String,
    occurred_at: String,
    trace_id: Option<String>,
    requester_id: Option<Subject>,
    client_id: Option<ClientId>,
    asserted_requester_id: Option<Subject>,
    #[serde(default)]
    pub(super) payload: Value,
}

impl Event {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name)?.as_str()
    }
}

/// One request: the events of one id, trace and asker.
#[derive(Clone, Debug)]
pub(super) struct Attempt(Vec<Event>);

/// The requests in the order in which they began, and how many lines are none of ours.
pub(super) fn attempts(lines: &[String]) -> (Vec<Attempt>, usize) {
    let mut all: Vec<Attempt> = Vec::new();
    let mut unreadable = 0;
    for line in lines {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            unreadable += 1;
            continue;
        };
        match all.iter_mut().rev().find(|attempt| attempt.is_of(&event)) {
            Some(attempt) => attempt.0.push(event),
            None => all.push(Attempt(vec![event])),
        }
    }
    for attempt in &mut all {
        attempt.0.sort_by(|a, b| a.occurred_at.cmp(&b.occurred_at));
    }
    all.sort_by(|a, b| a.began().cmp(b.began()));
    (all, unreadable)
}

impl Attempt {
    fn is_of(&self, event: &Event) -> bool {
        // Of a page there is no event, so what is kept of it has nothing but the id.
        if event.trace_id.is_none() {
            return true;
        }
        self.0.first().is_some_and(|first| {
            first.trace_id == event.trace_id
                && first.client_id == event.client_id
                && first.requester_id == event.requester_id
        })
    }

    pub(super) fn began(&self) -> &str {
        self.0.first().map_or("", |event| event.occurred_at.as_str())
    }

    pub(super) fn trace_id(&self) -> &str {
        self.0.first().and_then(|event| event.trace_id.as_deref()).unwrap_or_default()
    }

    /// Who asked, as far as it was proven.
    pub(super) fn client_id(&self) -> Option<&ClientId> {
        self.0.iter().find_map(|event| event.client_id.as_ref())
    }

    /// Whether whoever asked has shown that they are that client: by a token that was issued to it, or by a secret or key. A
    /// public client shows nothing at an OAuth endpoint.
    pub(super) fn proves_its_client(&self) -> bool {
        const PROOFS: [&str; 3] = ["client_secret", "client_assertion", "Authorization: Basic"];
        self.last().is_none_or(|event| {
            let has = |name: &str| {
                let sent = event.payload.get("parameters").and_then(Value::as_array);
                sent.is_some_and(|sent| {
                    sent.iter().any(|it| it.get("name").is_some_and(|it| it == name))
                })
            };
            // A workload is found by its assertion, and sends no id; whoever sends one is not, whatever else they send.
            let workload = || {
                event.text("grant_type") == Some("jwt_bearer")
                    && has("assertion")
                    && !has("client_id")
            };
            !event.event_type.starts_with("oauth.") || PROOFS.into_iter().any(has) || workload()
        })
    }

    /// Who asked, as far as they said so.
    pub(super) fn unverified_client_id(&self) -> Option<ClientId> {
        self.text("unverified_client_id")?.parse().ok()
    }

    pub(super) fn requester_id(&self) -> Option<&Subject> {
        self.0.iter().find_map(|event| event.requester_id.as_ref())
    }

    pub(super) fn asserted_requester_id(&self) -> Option<&Subject> {
        self.0.iter().find_map(|event| event.asserted_requester_id.as_ref())
    }

    /// A member of a payload, of the last event that has it.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find_map(|event| event.text(name))
    }

    /// The last event: how it ended. A page that was shown for it says less.
    pub(super) fn last(&self) -> Option<&Event> {
        let mut events = self.0.iter().rev();
        events.find(|event| event.event_type != PAGE).or_else(|| self.0.last())
    }

    /// The last event of this type.
    pub(super) fn event(&self, event_type: &str) -> Option<&Event> {
        self.0.iter().rev().find(|event| event.event_type == event_type)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = EventView> {
        self.0.iter().map(|event| EventView {
            occurred_at: event.occurred_at.clone(),
            event_type: event.event_type.clone(),
            event_id: event.event_id.clone(),
        })
    }

    /// The decision that is on record with what was asked.
    pub(super) fn question(&self) -> Option<(&Event, Replay)> {
        self.0.iter().rev().find_map(|event| {
            let question: Recorded =
                serde_json::from_value(event.payload.get("question")?.clone()).ok()?;
            let at: jiff::Timestamp = event.occurred_at.parse().ok()?;
            let replay = Replay {
                subject: event.requester_id.clone(),
                client_id: event.client_id.clone(),
                asserted_requester: event.asserted_requester_id.clone(),
                at: Timestamp::from_unix_millis(at.as_millisecond()),
                question,
            };
            Some((event, replay))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(trace: &str, client: &str, at: &str, kind: &str) -> String {
        serde_json::json!({
            "event_type": kind, "event_id": "e", "occurred_at": at, "request_id": "r",
            "trace_id": trace, "requester_id": null, "client_id": client,
        })
        .to_string()
    }

    #[test]
    fn a_public_client_proves_nothing_whatever_it_sends_beside_its_id() {
        let proves = |grant: &str, names: &[&str]| {
            let names: Vec<_> =
                names.iter().map(|name| serde_json::json!({ "name": name })).collect();
            let line = line("t", "c", "2026-11-21T00:00:00Z", "oauth.token.refused");
            let mut line: Value = serde_json::from_str(&line).unwrap();
            line["payload"] = serde_json::json!({ "grant_type": grant, "parameters": names });
            attempts(&[line.to_string()]).0[0].proves_its_client()
        };
        for (grant, names, proven) in [
            ("authorization_code", &["client_id", "code", "assertion"][..], false),
            ("authorization_code", &["code", "assertion"], false),
            ("jwt_bearer", &["client_id", "assertion"], false),
            ("jwt_bearer", &["assertion"], true),
            ("jwt_bearer", &["assertion", "client_id", "client_assertion"], true),
            ("authorization_code", &["client_id", "client_secret"], true),
            ("authorization_code", &["Authorization: Basic"], true),
        ] {
            assert_eq!(proves(grant, names), proven, "{grant} {names:?}");
        }
    }

    #[test]
    fn requests_with_one_id_are_told_apart_by_who_made_them() {
        let lines = [
            line("t1", "c1", "2026-11-21T00:00:01Z", "policy.decided"),
            line("t2", "c2", "2026-11-21T00:00:00Z", "result.emitted"),
            line("t1", "c1", "2026-11-21T00:00:02Z", "result.emitted"),
            "no line of ours".to_owned(),
        ];
        let (all, unreadable) = attempts(&lines);
        let clients: Vec<_> = all.iter().map(|it| it.client_id().unwrap().as_str()).collect();
        assert_eq!((clients, unreadable), (vec!["c2", "c1"], 1));
        assert_eq!(all[1].events().count(), 2);
    }
}
