//! Sends the user of a 2026-07-28 client to the page of a call that waits for a person.
//!
//! Only where the client says that it opens links (MCP elicitation EL-2), and once: whether the person did, and what
//! became of the call, is for the store to say. The request state says which question it is, and opens nothing (RS-33).

use rmcp::model::{
    CallToolResult, ElicitRequest, ElicitRequestParams, InputRequest, InputRequests,
    InputRequiredResult, InputResponses,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, model::ClientCapabilities};
use serde_json::Value;

use crate::broker::Approvals;
use crate::code::Code;
use crate::guard::{INVITATION, QUESTION};

/// `None`: the result is to be sent as it is.
pub(super) fn input_required(
    result: &CallToolResult,
    context: &RequestContext<RoleServer>,
    approvals: &Approvals,
) -> Option<InputRequiredResult> {
    let error = result.structured_content.as_ref()?.get("error")?;
    if error.get("code")?.as_str()? != Code::PolicyApprovalRequired.as_str() {
        return None;
    }
    // Last: rmcp reads them anew for whoever asks, and nearly no call gets here.
    if !opens_links(context.client_capabilities().as_ref()) {
        return None;
    }
    let url = error.pointer("/metadata/approval_url").and_then(Value::as_str)?;
    let params = ElicitRequestParams::UrlElicitationParams {
        meta: None,
        message: INVITATION.to_owned(),
        url: url.to_owned(),
        elicitation_id: String::new(),
    };
    let request = InputRequest::Elicitation(ElicitRequest::new(params));
    let id = error.pointer("/metadata/approval_id").and_then(Value::as_str)?.parse().ok()?;
    let requests = InputRequests::from([(QUESTION.to_owned(), request)]);
    Some(InputRequiredResult::new(Some(requests), approvals.request_state(id)))
}

/// Whether the client says that its user did not go on to our page (EL-7). Anything but `accept` is a no: what is spent by
/// mistake cannot be taken back, and the call can be made again.
pub(super) fn is_declined(responses: Option<&InputResponses>) -> bool {
    let response = responses.and_then(|responses| responses.get(QUESTION));
    response
        .is_some_and(|response| response.get("action").and_then(Value::as_str) != Some("accept"))
}

fn opens_links(capabilities: Option<&ClientCapabilities>) -> bool {
    let elicitation = capabilities.and_then(|capabilities| capabilities.elicitation.as_ref());
    elicitation.is_some_and(|elicitation| elicitation.url.is_some())
}
