//! `/api/openapi.json`: the admin API described (`OpenAPI` 3.1), for people and for tools. Says nothing about this
//! deployment, so it needs no token.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::describe::{Operation, schema};
use super::problem::Problem;

/// The document's own route.
pub fn routes() -> Router {
    let text = document(&super::described().operations).to_string();
    let answer = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text).into_response() }
    };
    Router::new().route("/api/openapi.json", get(answer))
}

/// Everything that is mounted.
pub(super) fn document(operations: &[(String, Operation)]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for (path, operation) in operations {
        let item = paths.entry(path.as_str()).or_insert_with(|| json!({}));
        if let Value::Object(methods) = item {
            methods.insert(operation.method.to_owned(), schemas.operation(path, operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "MCP Auth Broker admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "For who administers the broker and holds the scope broker:admin. Every change is recorded in the audit log.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "bearer": [] }],
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "schemas": { "Problem": schemas.problem() },
        },
        "paths": paths,
    })
}

/// What is sent may leave members out that what is answered always has.
struct Schemas {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let of = |contract| {
            let mut settings = SchemaSettings::draft2020_12();
            settings.inline_subschemas = true;
            settings.contract = contract;
            settings.into_generator()
        };
        Self { sent: of(Contract::Deserialize), answered: of(Contract::Serialize) }
    }

    fn problem(&mut self) -> Value {
        schema::<Problem<'static>>(&mut self.answered).to_value()
    }

    fn operation(&mut self, path: &str, operation: &Operation) -> Value {
        let mut described = json!({
            "operationId": format!("{}_{}", place(path), operation.name),
            "summary": operation.summary,
            "parameters": parameters(path, operation),
            "responses": self.responses(operation),
        });
        if let (Some(body), Some(members)) = (operation.body, described.as_object_mut()) {
            let schema = body(&mut self.sent).to_value();
            let body = json!({
                "required": true,
                "content": { "application/json": { "schema": schema } },
            });
            members.insert("requestBody".to_owned(), body);
        }
        described
    }

    fn responses(&mut self, operation: &Operation) -> Value {
        let mut success = json!({ "description": "Done" });
        if let (Some(answer), Some(members)) = (operation.answer, success.as_object_mut()) {
            let schema = answer(&mut self.answered).to_value();
            members
                .insert("content".to_owned(), json!({ "application/json": { "schema": schema } }));
        }
        let mut responses = Map::new();
        responses.insert(operation.status.to_string(), success);
        let asked: &[u16] = if operation.query.is_empty() { &[] } else { &[422] };
        let sent: &[u16] = if operation.body.is_some() { &[413, 415, 422] } else { &[] };
        let refusals = [401, 403, 503].iter().chain(operation.refusals).chain(asked).chain(sent);
        for status in refusals {
            responses.insert(status.to_string(), refusal(*status));
        }
        Value::Object(responses)
    }
}

fn refusal(status: u16) -> Value {
    let what = match status {
        // Of the layer before the API (RFC 6750 §3): the challenge says what is wrong.
        401 => return json!({ "description": "No token, or one that is not valid" }),
        403 => {
            "Not an administrator, or without the scope broker:admin; for an approval: who asks, or is no approver, cannot answer"
        }
        404 => "There is no such object",
        409 => "Its name is taken, it was answered before, or it is another by now",
        413 => "The body is too long",
        415 => "The body is not application/json",
        422 => "Something that was sent is not allowed; `field` says what",
        _ => "The store or the audit log does not answer",
    };
    let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    json!({ "description": what, "content": { "application/problem+json": problem } })
}

fn parameters(path: &str, operation: &Operation) -> Value {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = operation.query.iter().map(|(name, what)| {
        let schema = match *name {
            "limit" => json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 }),
            "ended" | "last_administrator" | "changed" => json!({ "type": "boolean" }),
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "query", "description": what, "schema": schema })
    });
    Value::Array(in_path.chain(in_query).collect())
}

/// `/api/v1/users/{id}` gives `v1_users`: both names of the servers are there.
fn place(path: &str) -> String {
    let parts = path.trim_start_matches("/api/").split('/').filter(|part| !part.starts_with('{'));
    parts.take(2).collect::<Vec<_>>().join("_")
}
