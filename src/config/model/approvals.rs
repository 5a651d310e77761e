//! `[approvals]`: who else learns that a call waits for a person.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;

/// `[approvals]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    pub webhook: Option<ApprovalWebhook>,
}

/// Where calls that wait are announced.
#[derive(Clone, Debug)]
pub struct ApprovalWebhook {
    pub url: Url,
    /// `whsec_` and 24 to 64 bytes in base64. Whether it is that is for the start to say, which reads it.
    pub secret: SecretSource,
}

/// Who else learns that a call waits for a person.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawApprovals {
    /// Where each call that waits is announced, by a POST that is signed as Standard Webhooks says. Unset: nowhere.
    pub(super) webhook_url: Option<String>,
    /// What it is signed with: `whsec_` and 24 to 64 bytes in base64.
    pub(super) webhook_secret: Option<RawSecret>,
}

impl RawApprovals {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Approvals {
        let url_key = at.name("webhook_url");
        let url = self.webhook_url.as_deref().map(|text| to.endpoint(&url_key, text));
        let secret_key = at.name("webhook_secret");
        let secret =
            self.webhook_secret.as_ref().map(|raw| to.secret_of_the_start(&secret_key, raw));
        let webhook = match (url, secret) {
            (None, None) => None,
            (Some(url), Some(secret)) => {
                url.zip(secret).map(|(url, secret)| ApprovalWebhook { url, secret })
            }
            (Some(_), None) => {
                let problem = "is missing: who is told could not know that it is us";
                let finding = Finding::error(FindingCode::Missing, &secret_key, problem);
                to.add(finding.hint("echo \"whsec_$(openssl rand -base64 32)\""));
                None
            }
            (None, Some(_)) => {
                let problem = "is missing: there is a secret and nobody to tell";
                to.add(Finding::error(FindingCode::Missing, &url_key, problem));
                None
            }
        };
        Approvals { webhook }
    }
}
