//! Whether a message may go on to the server: limits, policy, and the person who is asked.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::Response;
use serde_json::value::RawValue;

use crate::audit::ApprovalRefusal;
use crate::broker::{Caller, Failure, Wanted as Asked};
use crate::code::Code;
use crate::guard::{self, Deciding, Message, Thing, Unrecorded};
use crate::id::ToolName;
use crate::limits::Permits;
use crate::policy::{Decision, Effect};

use super::answer::Kind;
use super::ask_person::{self, SentBack};
use super::refused::{INVALID_PARAMS, RESOURCE_NOT_FOUND, not_there, tool_refused, unknown_method};
use super::server::{Ended, Server};
use super::wanted::{Beside, Wanted};

/// What is decided about a message before it is sent.
pub(super) struct Admitted {
    pub(super) permits: Permits,
    /// Of a stream that stays open.
    pub(super) place: Permits,
    pub(super) kind: Kind,
    /// Of a stream that stays open: decided again while it does.
    pub(super) resources: Vec<String>,
}

impl Admitted {
    fn to(kind: Kind, permits: Permits) -> Self {
        Self { permits, place: Permits::default(), kind, resources: Vec::new() }
    }
}

/// A tool by the server's name and by ours, its arguments, and what is said beside them.
type Named<'a> = (&'a str, Option<ToolName>, (Option<&'a RawValue>, Beside<'a>));

/// A tool that is there, what is asked of it, and what answers a question of ours.
type Called<'a> = (&'a ToolName, (Option<&'a RawValue>, Beside<'a>), Option<&'a SentBack>);

/// Why a message goes no further: an answer that is recorded already.
pub(super) type Refused = Response<Body>;

impl Server {
    /// Decides about a message. An inner error is an answer; what is not recorded of it yet, the caller records.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        (wanted, tool, modern): (Wanted<'_>, Option<ToolName>, bool),
    ) -> Result<Result<Admitted, Refused>, Unrecorded> {
        let deciding = self.decider.now();
        let said = (guard::method_name(message.method.as_deref()), message.id);
        // What the broker asks itself is a part of a request that was counted.
        let is_counted = caller.is_open()
            && match &wanted {
                Wanted::Tool { .. } | Wanted::Prompt { .. } => false,
                // A stream that tells of none is no call.
                Wanted::Resources(uris) => uris.is_empty(),
                _ => true,
            };
        if is_counted && let Err(refusal) = self.door.within_request_limits(caller, said).await? {
            return Ok(Err(refusal));
        }
        let pass = |kind| Ok(Ok(Admitted::to(kind, Permits::default())));
        match wanted {
            Wanted::Tool { name, arguments, beside } => {
                let asked = (&*name, tool, (arguments, beside));
                self.tool(caller, message, &deciding, (asked, modern)).await
            }
            Wanted::Prompt { name, arguments } => {
                let things = [Thing::Prompt(&name, Some(&arguments))];
                self.things(caller, message, &deciding, (&things, modern)).await
            }
            Wanted::Resources(uris) => {
                let things: Vec<_> = uris.iter().map(|uri| Thing::Resource(uri)).collect();
                let things = (&*things, modern);
                let admitted = self.things(caller, message, &deciding, things).await?;
                let admitted = match admitted {
                    Ok(admitted) if said.0 == "subscriptions/listen" => admitted,
                    other => return Ok(other),
                };
                let place = match self.door.within_stream_limits(caller, said).await? {
                    Ok(place) => place,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                let resources = uris.iter().map(|uri| uri.clone().into_owned()).collect();
                let decided = match admitted.kind {
                    Kind::Thing(decided) => Some(decided),
                    _ => None,
                };
                // What it holds from now on is its place among the streams, and none of a call.
                let (permits, kind) = (Permits::default(), Kind::Stream(decided));
                Ok(Ok(Admitted { permits, place, kind, resources }))
            }
            Wanted::List(list) => pass(Kind::List(list)),
            Wanted::Protocol if message.id.is_some() => pass(Kind::Other),
            Wanted::Protocol | Wanted::Reply => pass(Kind::Notification),
            Wanted::Unknown | Wanted::Malformed(_) => Ok(Err(unknown_method(message, modern))),
        }
    }

    /// Decides about a tool's call: limits first, then the step-up, then what policy says.
    async fn tool(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        deciding: &Deciding<'_>,
        ((name, tool, (arguments, mut beside)), modern): (Named<'_>, bool),
    ) -> Result<Result<Admitted, Refused>, Unrecorded> {
        let in_full = self.in_full(name);
        let unknown = || not_there(message, INVALID_PARAMS, &format!("Unknown tool: {in_full}"));
        let Some(tool) = tool else {
            let within = self.door.within_limits(caller, message, (name, None), || None);
            return Ok(within.await?.and(Err(unknown())));
        };
        let (visible, decision) = deciding.call(caller, &tool, arguments);
        let thing = Thing::Tool(name);
        let asked = (tool.as_str(), Some(&decision));
        let question = || Some(deciding.question(caller, thing));
        let permits = match self.door.within_limits(caller, message, asked, question).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Before every answer, whatever it is.
        let other = deciding.difference(caller, &tool, (arguments, &decision));
        guard::record_policy(caller, &tool, &decision, other).await?;
        if decision.is_challenge() {
            let said = (&decision, deciding.question(caller, thing));
            return Ok(Err(self.door.step_up(caller, message, tool, said).await?));
        }
        let ended = Ended { tool: Some(tool.clone()), question: deciding.question(caller, thing) };
        if !visible.shows_the_tool() || !self.watch.shows(name) {
            let code = hidden_by(&decision);
            self.end(caller, "tools/call", (&decision, Some(code)), ended).await?;
            if code == Code::PolicyMissingIdentity {
                let failure = Failure::new(code, guard::NOBODY);
                let failure = failure.with("request_id", Some(caller.request_id()));
                return Ok(Err(tool_refused(message, &failure, modern)));
            }
            return Ok(Err(unknown()));
        }
        let sent_back = beside.sent_back.take();
        let call = (&tool, (arguments, beside), sent_back.as_ref());
        if let Err(failure) = self.may_go_on(caller, call, &decision).await? {
            self.end(caller, "tools/call", (&decision, Some(failure.code)), ended).await?;
            let failure = failure.with("request_id", Some(caller.request_id()));
            let asks = (modern && sent_back.is_none())
                .then(|| ask_person::input_required(message, &failure, &self.approvals))
                .flatten();
            return Ok(Err(asks.unwrap_or_else(|| tool_refused(message, &failure, modern))));
        }
        let kind = Kind::Tool(Box::new((decision, ended)));
        Ok(Ok(Admitted::to(kind, permits)))
    }

    /// A tool or a prompt as its caller calls it.
    fn in_full<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.folded { Cow::Owned([&*self.id, ".", name].concat()) } else { Cow::Borrowed(name) }
    }

    /// Whether the call is allowed, or a person has approved this very call.
    async fn may_go_on(
        &self,
        caller: &Caller,
        (tool, (arguments, beside), sent_back): Called<'_>,
        decision: &Decision,
    ) -> Result<Result<(), Failure>, Unrecorded> {
        // EL-7: before anything is spent or done.
        if sent_back.is_some_and(|sent_back| !sent_back.accepted) {
            let declined = (ApprovalRefusal::Declined, None);
            self.approvals.refused(caller.context(), tool, declined).await?;
            return Ok(Err(Failure::new(Code::PolicyDenied, guard::DECLINED)));
        }
        if decision.is_allow() {
            return Ok(Ok(()));
        }
        let denied = || Failure::new(Code::PolicyDenied, "policy does not allow this call");
        if decision.effect != Effect::Ask {
            let code = decision.code.unwrap_or(Code::PolicyDenied);
            return Ok(Err(Failure { code, ..denied() }));
        }
        let request_state = sent_back.and_then(|sent_back| sent_back.state.as_deref());
        let call = beside.exactly(arguments);
        let wanted = Asked { tool: tool.clone(), call, asserted: None, request_state };
        let settled = self.approvals.ask(caller, caller.context(), &wanted, decision).await?;
        Ok(settled.and_then(
            |approved| {
                if approved.fits(decision) { Ok(()) } else { Err(denied()) }
            },
        ))
    }

    /// Decides about prompts or resources: each of them must be allowed.
    async fn things(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        deciding: &Deciding<'_>,
        (things, modern): (&[Thing<'_>], bool),
    ) -> Result<Result<Admitted, Refused>, Unrecorded> {
        let method = guard::method_name(message.method.as_deref());
        let decided: Vec<_> =
            things.iter().map(|thing| (*thing, deciding.about(caller, *thing))).collect();
        let worst = decided.iter().max_by_key(|(_, said)| (!said.is_allow(), !said.is_challenge()));
        let Some((thing, decision)) = worst.cloned() else {
            return Ok(Ok(Admitted::to(Kind::Other, Permits::default())));
        };
        let name = deciding.name(thing);
        let asked = (&*name, Some(&decision));
        let question = || Some(deciding.question(caller, thing));
        let permits = match self.door.within_limits(caller, message, asked, question).await? {
            Ok(permits) => permits,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.record_policy(caller, deciding, &decided).await?;
        let question = deciding.question(caller, thing);
        if let (true, Some(server)) = (decision.is_challenge(), self.decider.server_name()) {
            let said = (&decision, question);
            return Ok(Err(self.door.step_up(caller, message, server, said).await?));
        }
        let ended = Ended { tool: None, question };
        if decision.is_allow() {
            let kind = Kind::Thing(Box::new((decision, ended)));
            return Ok(Ok(Admitted::to(kind, permits)));
        }
        // What a person would have to be asked about is not offered here: there is no call to show them.
        self.end(caller, method, (&decision, Some(hidden_by(&decision))), ended).await?;
        if let Thing::Prompt(name, _) = thing {
            let text = format!("Unknown prompt: {}", self.in_full(name));
            return Ok(Err(not_there(message, INVALID_PARAMS, &text)));
        }
        // TR-9, LG-7: each era has its own code.
        let code = if modern { INVALID_PARAMS } else { RESOURCE_NOT_FOUND };
        Ok(Err(not_there(message, code, "Resource not found")))
    }

    /// Of several things at once only the first of each kind: one request is not to write a line for each.
    pub(super) async fn record_policy(
        &self,
        caller: &Caller,
        deciding: &Deciding<'_>,
        decided: &[(Thing<'_>, Decision)],
    ) -> Result<(), Unrecorded> {
        let Some(server) = self.decider.server_name() else { return Ok(()) };
        let failed = decided.iter().find(|(_, said)| said.failed_conditions().next().is_some());
        if let Some((_, said)) = failed {
            guard::record_policy(caller, &server, said, None).await?;
        }
        let mut others = decided.iter().filter_map(|(thing, said)| {
            Some((said, deciding.difference_about(caller, *thing, said)?))
        });
        if let Some((said, other)) = others.next() {
            guard::record_difference(caller, &server, said, other).await?;
        }
        Ok(())
    }
}

/// Of a caller who is nobody (contract, `policy.missing_identity`), and of everybody else from whom something is hidden.
pub(super) fn hidden_by(decision: &Decision) -> Code {
    match decision.code {
        Some(code @ Code::PolicyMissingIdentity) => code,
        _ => Code::PolicyDenied,
    }
}
