//! `auth.graph.operation.execute.v1`: how its arguments and answers look. `broker::execute` does the work.

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Value, json};

use crate::broker::CONTRACT_VERSION;
use crate::code::Code;

use super::{Entry, GRAPH_EXECUTE, Kind, object};

const DESCRIPTION: &str = "Executes one Microsoft Graph call with a credential that only the broker holds, if policy allows \
     it. The smallest call: {\"operation\":{\"method\":\"GET\",\"path\":\"/v1.0/users\"}}. Which operations are \
     open to you: auth.graph.operations.list.v1.";

pub(super) fn entry() -> Entry {
    let annotations = ToolAnnotations::new().read_only(false).destructive(true).open_world(true);
    let mut tool = Tool::new(GRAPH_EXECUTE, DESCRIPTION, object(input()))
        .with_title("Microsoft Graph operation")
        .with_annotations(annotations);
    tool.output_schema = Some(object(output()));
    Entry { kind: Kind::GraphExecute, tool }
}

fn input() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["operation"],
        "properties": {
            "contract_version": { "const": CONTRACT_VERSION, "description": "The version of this contract." },
            "request_id": {
                "type": "string", "format": "uuid",
                "description": "Names this call in the answer and the audit log; made by the broker where absent."
            },
            "requester": {
                "type": "object", "additionalProperties": false,
                "description": "The verified token decides who asks. Only a trusted gateway may name somebody else.",
                "properties": {
                    "requester_id": { "type": "string", "maxLength": 512 },
                    "identity_assurance": { "type": "string", "maxLength": 64 }
                }
            },
            "graph": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "tenant_id": { "type": "string", "description": "Needed only where several tenants are configured." },
                    "resource": { "type": "string", "format": "uri", "description": "The origin of a national cloud." },
                    "scopes": {
                        "type": "array", "maxItems": 32, "items": { "type": "string" },
                        "description": "Graph permissions this call needs; each must be among the deciding rule's."
                    }
                }
            },
            "operation": operation(),
            "timeout_ms": { "type": "integer", "minimum": 1, "description": "For the whole call, retries and waits included." }
        }
    })
}

fn operation() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["method", "path"],
        "properties": {
            "action": { "const": "downstream_call" },
            "method": { "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"] },
            "path": {
                "type": "string", "maxLength": 8192, "pattern": "^/(v1\\.0|beta)(/|$)",
                "description": "Absolute, percent-encoded, with an optional query: /v1.0/users/ada@contoso.example?$select=id"
            },
            "headers": {
                "type": "object", "additionalProperties": { "type": "string" },
                "description": "accept, content-type, if-match, if-none-match, prefer, consistencylevel."
            },
            "body": { "description": "JSON, or null." }
        }
    })
}

fn output() -> Value {
    let redactions = json!({
        "type": "array",
        "items": {
            "type": "object", "required": ["field", "reason"],
            "properties": { "field": { "type": "string" }, "reason": { "type": "string" } }
        }
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["contract_version", "request_id", "status"],
        "properties": {
            "contract_version": { "const": CONTRACT_VERSION },
            "request_id": { "type": "string", "format": "uuid" },
            "status": { "enum": ["ok", "error"] },
            "simulated": { "const": true, "description": "Present where the built-in simulation answered." },
            "result": result(&redactions),
            "error": {
                "type": "object",
                "required": ["code", "category", "message", "retryable", "metadata"],
                "properties": {
                    "code": { "enum": Code::ALL.map(Code::as_str) },
                    "category": { "enum": ["policy", "secret", "provider", "broker", "request"] },
                    "message": { "type": "string" },
                    "retryable": { "type": "boolean" },
                    "metadata": { "type": "object" }
                }
            },
            "redactions": redactions
        },
        "oneOf": [
            { "required": ["result"], "properties": { "status": { "const": "ok" } } },
            { "required": ["error", "redactions"], "properties": { "status": { "const": "error" } } }
        ]
    })
}

fn result(redactions: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["policy", "execution", "redactions"],
        "properties": {
            "policy": {
                "type": "object", "required": ["decision", "reason", "metadata"],
                "properties": {
                    "decision": { "enum": ["allow", "deny", "ask"] },
                    "reason": { "type": "string" },
                    "metadata": { "type": "object" }
                }
            },
            "execution": {
                "type": "object",
                "required": ["mode", "provider", "http_status", "response_headers", "response_body", "token", "attempts", "duration_ms"],
                "properties": {
                    "mode": { "const": "broker_downstream_execution" },
                    "provider": { "const": "microsoft_graph" },
                    "provider_request_id": { "type": ["string", "null"] },
                    "http_status": { "type": "integer" },
                    "response_headers": { "type": "object", "additionalProperties": { "type": "string" } },
                    "response_body": {},
                    "token": {
                        "type": "object", "required": ["source", "expires_in_s"],
                        "properties": { "source": { "enum": ["cache", "minted"] }, "expires_in_s": { "type": "integer" } }
                    },
                    "attempts": { "type": "integer", "minimum": 1 },
                    "duration_ms": { "type": "integer", "minimum": 0 }
                }
            },
            "redactions": redactions
        }
    })
}
