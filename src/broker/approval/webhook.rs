//! What is told of a call that waits, and how it is signed: Standard Webhooks 1.0, symmetric (`v1`).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use url::Url;
use zeroize::Zeroizing;

use crate::id::{ApprovalId, ClientId, Issuer, RuleId, Subject, ToolName};
use crate::outbound::Call;
use crate::secret_text::SecretText;
use crate::store::ApprovalRow;
use crate::time::Timestamp;

const PREFIX: &str = "whsec_";
/// Bytes of a secret (Standard Webhooks, Symmetric).
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Where calls that wait are announced, and the key that signs it.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    key: hmac::Key,
}

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error(
        "approvals.webhook_secret is not `whsec_` and 24 to 64 bytes in base64\n  hint: echo \"whsec_$(openssl rand -base64 32)\""
    )]
    Secret,
}

/// One message as it is sent, again and again if need be. Holds no argument of the call: who may see those logs in.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) approval: ApprovalId,
    pub(super) expires_at: Timestamp,
    body: Bytes,
}

/// The body (Standard Webhooks, Payload structure).
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    approval_id: ApprovalId,
    /// The page. Who opens it has to log in.
    approval_url: String,
    tool: &'a ToolName,
    issuer: &'a Issuer,
    requester_id: &'a Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    asserted_requester_id: Option<&'a Subject>,
    client_id: Option<&'a ClientId>,
    rule: &'a RuleId,
    policy_version: &'a str,
    /// Groups. Empty: administrators.
    approvers: &'a [String],
    expires_at: Timestamp,
}

impl Webhook {
    /// # Errors
    ///
    /// [`WebhookError::Secret`]
    pub fn new(url: Url, secret: &SecretText) -> Result<Self, WebhookError> {
        let text = secret.expose().trim().strip_prefix(PREFIX).ok_or(WebhookError::Secret)?;
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| WebhookError::Secret)?);
        if !LENGTHS.contains(&bytes.len()) {
            return Err(WebhookError::Secret);
        }
        Ok(Self { url, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// The request that carries `message` at `now`. The id stays the same however often it is sent, so that the
    /// receiver can tell; the time is each attempt's own, so that it can refuse an old one.
    pub(super) fn call(&self, message: &Message, now: Timestamp) -> Call {
        let (id, time) = (message.approval.to_string(), now.unix_seconds().to_string());
        let signature = self.signature(&id, &time, &message.body);
        let call = Call {
            method: Method::POST,
            url: self.url.clone(),
            headers: http::HeaderMap::new(),
            body: message.body.clone(),
        };
        [
            (header::CONTENT_TYPE, "application/json"),
            (HeaderName::from_static("webhook-id"), &id),
            (HeaderName::from_static("webhook-timestamp"), &time),
            (HeaderName::from_static("webhook-signature"), &signature),
        ]
        .into_iter()
        .fold(call, |call, (name, value)| match HeaderValue::from_str(value) {
            Ok(value) => call.header(name, value),
            Err(_) => call, // ids, digits and base64 are all fine
        })
    }

    /// Of `id.timestamp.body` (Standard Webhooks, Signature scheme).
    fn signature(&self, id: &str, time: &str, body: &[u8]) -> String {
        let mut signed = hmac::Context::with_key(&self.key);
        signed.update(format!("{id}.{time}.").as_bytes());
        signed.update(body);
        format!("v1,{}", STANDARD.encode(signed.sign()))
    }
}

impl Message {
    pub(super) fn new(row: &ApprovalRow, approval_url: String) -> Self {
        let asked = &row.requester;
        let payload = Payload {
            r#type: "approval.requested",
            timestamp: row.created_at,
            data: Data {
                approval_id: row.id,
                approval_url,
                tool: &row.tool,
                issuer: &asked.issuer,
                requester_id: &asked.subject,
                asserted_requester_id: asked.asserted.as_ref(),
                client_id: asked.client_id.as_ref(),
                rule: &row.rule,
                policy_version: &row.policy_version,
                approvers: &row.approvers,
                expires_at: row.expires_at,
            },
        };
        let body = serde_json::to_vec(&payload).unwrap_or_default().into();
        Self { approval: row.id, expires_at: row.expires_at, body }
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.url.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(secret: &str) -> Result<Webhook, WebhookError> {
        Webhook::new("https://chat.example/hook".parse().unwrap(), &secret.to_owned().into())
    }

    /// The example that the scheme's own libraries are tested with.
    #[test]
    fn the_signature_is_the_one_that_receivers_compute() {
        let webhook = webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_of_another_shape_is_refused_and_not_quoted() {
        for secret in
            ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%"]
        {
            let error = webhook(secret).unwrap_err().to_string();
            assert!(error.contains("hint:") && (secret.len() < 8 || !error.contains(secret)));
        }
    }
}
