//! How a registered server is reached through this broker, beyond where it is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::admin::error::AdminError;
use crate::audit::{AdminAction, AdminObject};
use crate::store::ResourceRow;

use super::{Actor, Operations, ServerView, found};

/// Pins that one server may have; each is read for every list.
const PINS: usize = 1_000;
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 1..=600_000;
/// More than the settings give by default, and little enough that a hundred of them at once end no process.
const RESPONSE_BYTES: std::ops::RangeInclusive<u32> = 1..=64 << 20;

/// What is absent is as for a server of the settings file that says nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// The name of an `[[upstream.credential]]` of the settings file that is for the server's URL. Absent: the server
    /// is shown nothing. There is no other way to a secret.
    pub credential: Option<String>,
    /// Tells the server who calls, in `X-Broker-Identity`.
    pub identity_header: bool,
    /// Shows its tools at `/mcp`, too, as `{id}.{tool}`.
    pub fold: bool,
    /// 1 to 600,000
    pub timeout_ms: Option<u32>,
    /// 1 to 67,108,864
    pub max_response_bytes: Option<u32>,
    /// By the server's own name of a tool: `sha256:` and 64 hexadecimal digits.
    pub pins: BTreeMap<String, String>,
    pub on_change: Option<OnToolFlaw>,
    pub on_hidden_text: Option<OnToolFlaw>,
    pub era: Option<ServerEra>,
    /// Whether callers' tokens must be bound to a key of theirs (`DPoP`, RFC 9449). Needs `resource_server.dpop` of the settings
    /// file; with `fold` it has to be `required` there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dpop_required: bool,
}

/// Which tokens are bound to keys here (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundTokens {
    #[default]
    None,
    /// Those of clients that ask for it.
    Some,
    All,
}

/// What becomes of a tool whose definition changed, or hides text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnToolFlaw {
    Alert,
    Hide,
}

/// Which revisions of the protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerEra {
    Auto,
    #[serde(rename = "2025-11-25")]
    Old,
    #[serde(rename = "2026-07-28")]
    New,
    Both,
}

/// A credential that registered servers may name, and where they must be.
#[derive(Clone, Debug)]
pub struct NamedCredential {
    pub name: String,
    /// Exactly there, or below one that ends with a slash.
    pub urls: Vec<Url>,
}

impl NamedCredential {
    /// Whether a server there may be shown it.
    #[must_use]
    pub fn is_for(&self, url: &Url) -> bool {
        // What a server behind a proxy may read as another path than we do.
        let path = url.path().to_ascii_lowercase();
        let plain =
            !["%2f", "%5c", "%2e", "%25", "%3b", ";", "//"].iter().any(|odd| path.contains(odd));
        self.urls.iter().any(|place| {
            let below = place.path().ends_with('/') && url.path().starts_with(place.path());
            place == url || (place.origin() == url.origin() && below && plain)
        })
    }
}

impl ProxySettings {
    /// As a row has them.
    ///
    /// # Errors
    ///
    /// They were written by a newer version, or by nobody that we know.
    pub fn of(row: &ResourceRow) -> Result<Self, serde_json::Error> {
        row.proxy.as_deref().map_or_else(|| Ok(Self::default()), serde_json::from_str)
    }

    pub(super) fn text(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::json!(self).to_string())
    }

    /// Whether where tokens are bound as these are it gets what it asks for, or nothing.
    #[must_use]
    pub const fn is_bound_as_it_asks(&self, bound: BoundTokens) -> bool {
        match bound {
            BoundTokens::None => !self.dpop_required,
            // At /mcp, where its tools would stand, other tokens are taken.
            BoundTokens::Some => !(self.dpop_required && self.fold),
            BoundTokens::All => true,
        }
    }

    /// Refuses what could not be served, and a credential that is not for `url`.
    pub(super) fn check(
        &self,
        url: &str,
        (known, bound): (&[NamedCredential], BoundTokens),
    ) -> Result<(), AdminError> {
        let invalid =
            |field, problem, allowed| Err(AdminError::Invalid { field, problem, allowed });
        if !self.is_bound_as_it_asks(bound) {
            return invalid(
                "proxy.dpop_required",
                "cannot be kept: here tokens are bound to nothing, or its tools would stand at /mcp, which takes others",
                "true with resource_server.dpop = \"allowed\" in the settings file; with fold, too, with \"required\"",
            );
        }
        if self.timeout_ms.is_some_and(|given| !TIMEOUT_MS.contains(&given)) {
            return invalid("proxy.timeout_ms", "is too short or too long", "1 to 600000");
        }
        if self.max_response_bytes.is_some_and(|given| !RESPONSE_BYTES.contains(&given)) {
            return invalid(
                "proxy.max_response_bytes",
                "is too small or too large",
                "1 to 67108864",
            );
        }
        if self.pins.len() > PINS || !self.pins.iter().all(|(tool, pin)| is_pin(tool, pin)) {
            return invalid(
                "proxy.pins",
                "has one that is no digest of a tool, or too many",
                "up to 1000: a tool's name, and sha256: with 64 hexadecimal digits in lower case",
            );
        }
        let Some(name) = &self.credential else { return Ok(()) };
        let known = known.iter().find(|known| known.name == *name);
        let url = Url::parse(url).ok();
        if known.zip(url).is_some_and(|(known, url)| known.is_for(&url)) {
            return Ok(());
        }
        invalid(
            "proxy.credential",
            "is none that the settings file has for a server there",
            "the name of an [[upstream.credential]] whose urls have that of the server",
        )
    }
}

fn is_pin(tool: &str, digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    (1..=128).contains(&tool.len())
        && hex.len() == 64
        && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Operations {
    /// Says anew how a server is reached through this broker: all of it, so that what is absent is as nothing else says.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`] also where clients reach the server themselves; [`AdminError::Invalid`]
    pub async fn set_server_proxy(
        &self,
        actor: &Actor,
        id: &str,
        proxy: ProxySettings,
    ) -> Result<ServerView, AdminError> {
        const WHAT: &str = "server that is reached through this broker";
        let row = self.store.find_resource(id).await?.ok_or(AdminError::NotFound("server"))?;
        let url = row.url.as_deref().ok_or(AdminError::NotFound(WHAT))?;
        proxy.check(url, (&self.settings.named_credentials, self.settings.bound_tokens))?;
        let text = proxy.text();
        self.change(actor, (AdminObject::Server, AdminAction::Change, &row.id), async {
            // Of the very URL that the credential was held against.
            let changed = self.store.set_resource_proxy(&row.id, url, text.as_deref()).await?;
            found(changed, WHAT)
        })
        .await?;
        Ok(ResourceRow { proxy: text, ..row }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> [NamedCredential; 2] {
        let named = |name: &str, url: &str| NamedCredential {
            name: name.to_owned(),
            urls: vec![url.parse().unwrap()],
        };
        [named("weather", "https://weather.example"), named("one", "https://all.example/a/")]
    }

    fn with(credential: &str) -> ProxySettings {
        ProxySettings { credential: Some(credential.to_owned()), ..ProxySettings::default() }
    }

    // OWASP ASVS 5 — N116
    #[test]
    fn a_credential_is_for_the_places_that_the_settings_name_and_no_others() {
        let fits =
            |name: &str, url: &str| with(name).check(url, (&known(), BoundTokens::None)).is_ok();
        assert!(fits("weather", "https://weather.example/mcp"));
        assert!(fits("weather", "https://weather.example:443/other"));
        for url in [
            "http://weather.example/mcp",
            "https://weather.example:8443/mcp",
            "https://weather.example.attacker.example/mcp",
            "https://attacker.example/weather.example",
            "https://attacker.example\\@weather.example/mcp",
            "data:text/plain,x",
        ] {
            assert!(!fits("weather", url), "{url}");
        }
        assert!(fits("one", "https://all.example/a/mcp"));
        for url in [
            "https://all.example/b/mcp",
            "https://all.example/ab",
            "https://all.example/a/../b",
            "https://all.example/a/%2e%2e/b",
            "https://all.example/a/..%2fb",
            "https://all.example/a/x//b",
            "https://all.example/a/..;/b/mcp",
            "https://all.example/a/..%3b/b/mcp",
            "https://all.example/a/%252e%252e/b/mcp",
            "https://all.example/a/..%252fb/mcp",
        ] {
            assert!(!fits("one", url), "{url}");
        }
        assert!(!fits("other", "https://weather.example/mcp"));
        for reference in ["env:HOME", "file:/etc/passwd", "op://broker/weather/token", ""] {
            assert!(!fits(reference, "https://weather.example/mcp"), "{reference}");
        }
    }

    #[test]
    fn what_is_read_from_a_row_is_what_was_written() {
        let mut proxy = with("weather");
        proxy.pins.insert("get".to_owned(), format!("sha256:{}", "a".repeat(64)));
        proxy.era = Some(ServerEra::Old);
        proxy.on_change = Some(OnToolFlaw::Hide);
        let text = proxy.text().unwrap();
        assert_eq!(serde_json::from_str::<ProxySettings>(&text).unwrap(), proxy);
        assert_eq!(ProxySettings::default().text(), None);
        assert!(serde_json::from_str::<ProxySettings>(r#"{"bearer":"env:HOME"}"#).is_err());
    }

    // RFC 9449 §6.2, §7.2 — N88
    #[test]
    fn a_server_that_asks_for_bound_tokens_is_never_let_down() {
        let refused = |fold, bound| {
            let proxy = ProxySettings { dpop_required: true, fold, ..ProxySettings::default() };
            proxy.check("https://weather.example/", (&[], bound)).is_err()
        };
        assert!(refused(false, BoundTokens::None) && refused(true, BoundTokens::None));
        assert!(!refused(false, BoundTokens::Some) && refused(true, BoundTokens::Some));
        assert!(!refused(false, BoundTokens::All) && !refused(true, BoundTokens::All));
        let proxy = ProxySettings { fold: true, ..ProxySettings::default() };
        assert!(proxy.is_bound_as_it_asks(BoundTokens::None));
        assert!(!proxy.text().unwrap().contains("dpop"), "a version before can read it");
        let proxy = ProxySettings { dpop_required: true, ..proxy };
        let read: ProxySettings = serde_json::from_str(&proxy.text().unwrap()).unwrap();
        assert_eq!(read, proxy);
    }

    #[test]
    fn limits_and_pins_are_checked() {
        let refused = |change: fn(&mut ProxySettings)| {
            let mut proxy = ProxySettings::default();
            change(&mut proxy);
            proxy.check("https://weather.example/", (&[], BoundTokens::None)).is_err()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|proxy| proxy.timeout_ms = Some(0)));
        assert!(refused(|proxy| proxy.timeout_ms = Some(600_001)));
        assert!(refused(|proxy| proxy.max_response_bytes = Some(u32::MAX)));
        assert!(refused(|proxy| drop(proxy.pins.insert("a".into(), "sha256:0".into()))));
        assert!(refused(|proxy| drop(
            proxy.pins.insert(String::new(), format!("sha256:{:064}", 0))
        )));
    }
}
