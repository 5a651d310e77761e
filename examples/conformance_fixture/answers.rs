//! What the fixture's plain tools, prompts and resources answer, as the suite's scenarios describe it.

use serde_json::{Value, json};

/// A red pixel, the smallest image that decodes.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A WAV header without a sample.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

pub(crate) fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// The answer of a tool that needs nothing from its caller; `None` for every other name.
pub(crate) fn tool(name: &str) -> Option<Value> {
    let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
    Some(match name {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => json!({ "content": [image] }),
        "test_audio_content" => {
            json!({ "content": [{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }] })
        }
        "test_embedded_resource" => json!({ "content": [{ "type": "resource", "resource": {
            "uri": "test://embedded-resource", "mimeType": "text/plain",
            "text": "This is an embedded resource content." } }] }),
        "test_multiple_content_types" => json!({ "content": [
            { "type": "text", "text": "Multiple content types test:" }, image,
            { "type": "resource", "resource": { "uri": "test://mixed-content-resource",
              "mimeType": "application/json", "text": r#"{"test":"data","value":123}"# } } ] }),
        "test_error_handling" => json!({ "isError": true, "content": [
            { "type": "text", "text": "This tool intentionally returns an error for testing" }] }),
        "test_custom_headers" | "json_schema_2020_12_tool" => text("ok"),
        _ => return None,
    })
}

/// `resources/read`; `None` where the suite expects "not found".
pub(crate) fn resource(uri: &str) -> Option<Value> {
    let content = match uri {
        "test://static-text" => json!({ "uri": uri, "mimeType": "text/plain",
            "text": "This is the content of the static text resource." }),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
        "test://watched-resource" => {
            json!({ "uri": uri, "mimeType": "text/plain", "text": "watched" })
        }
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let text =
                json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            json!({ "uri": uri, "mimeType": "application/json", "text": text.to_string() })
        }
    };
    Some(json!({ "contents": [content] }))
}

/// `prompts/get`; `None` for a name that is not listed.
pub(crate) fn prompt(name: &str, argument: impl Fn(&str) -> String) -> Option<Value> {
    let user = |content: Value| json!({ "role": "user", "content": content });
    let text = |text: &str| user(json!({ "type": "text", "text": text }));
    let messages = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => vec![text(&format!(
            "Prompt with arguments: arg1='{}', arg2='{}'",
            argument("arg1"),
            argument("arg2")
        ))],
        "test_prompt_with_embedded_resource" => vec![
            user(json!({ "type": "resource", "resource": { "uri": argument("resourceUri"),
                "mimeType": "text/plain", "text": "Embedded resource content for testing." } })),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![
            user(json!({ "type": "image", "data": PNG, "mimeType": "image/png" })),
            text("Please analyze the image above."),
        ],
        _ => return None,
    };
    Some(json!({ "messages": messages }))
}

pub(crate) fn prompts() -> Value {
    let argument = |name: &str| json!({ "name": name, "description": name, "required": true });
    json!({ "prompts": [
        { "name": "test_simple_prompt", "description": "One text" },
        { "name": "test_prompt_with_arguments", "description": "Text with two arguments",
          "arguments": [argument("arg1"), argument("arg2")] },
        { "name": "test_prompt_with_embedded_resource", "description": "Resource and text",
          "arguments": [argument("resourceUri")] },
        { "name": "test_prompt_with_image", "description": "Image and text" },
        { "name": "test_input_required_result_prompt", "description": "Needs an elicitation" },
    ] })
}

pub(crate) fn resources() -> Value {
    let resource = |name: &str, mime: &str| json!({ "uri": format!("test://{name}"), "name": name, "description": name, "mimeType": mime });
    json!({ "resources": [
        resource("static-text", "text/plain"),
        resource("static-binary", "image/png"),
        resource("watched-resource", "text/plain"),
    ] })
}

pub(crate) fn resource_templates() -> Value {
    json!({ "resourceTemplates": [{ "uriTemplate": "test://template/{id}/data", "name": "template",
        "description": "One resource for every id", "mimeType": "application/json" }] })
}
