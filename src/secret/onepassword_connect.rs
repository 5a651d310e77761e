//! `op://` through a 1Password Connect server: its REST API, version 1.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use http::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::outbound::{Answer, Call, Outbound};
use crate::secret_ref::{OnePasswordRef, SecretRef};
use crate::secret_text::SecretText;

use super::env::Environment;
use super::error::{Detail, Fault, SecretError};
use super::own::OwnCredential;
use super::provider::SecretProvider;
use super::rest;
use super::settings::{ConnectSettings, SettingsError, base_url};
use super::value;

/// A Connect server, asked with its bearer token.
#[derive(Debug)]
pub(super) struct Connect {
    url: Url,
    token: OwnCredential,
    outbound: Outbound,
}

/// An entry of a list of vaults (`name`) or of items (`title`).
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(alias = "title")]
    name: String,
    /// Absent while the item is active.
    state: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    state: Option<String>,
    #[serde(default)]
    sections: Vec<Section>,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Section {
    id: String,
    label: Option<String>,
}

#[derive(Deserialize)]
struct Field {
    id: String,
    label: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    value: Option<SecretText>,
    section: Option<SectionId>,
}

#[derive(Deserialize)]
struct SectionId {
    id: String,
}

/// One read: the same token and limit for its one to three requests.
struct Session<'a> {
    connect: &'a Connect,
    token: HeaderValue,
    limit: Duration,
}

impl Connect {
    pub(super) fn new(
        settings: ConnectSettings,
        environment: &Environment,
        outbound: &Outbound,
    ) -> Result<Self, SettingsError> {
        let url = base_url("secrets.onepassword.connect_url", settings.url)?;
        let key = "secrets.onepassword.connect_token";
        let token = OwnCredential::new(key, settings.token, environment)?;
        Ok(Self { url, token, outbound: outbound.clone() })
    }

    /// Names cost a request each; ids (26 of `a-z0-9`) are used as they are.
    async fn read(&self, place: &OnePasswordRef, limit: Duration) -> Result<SecretText, Fault> {
        let token = bearer(&self.token.text().await?)?;
        let session = Session { connect: self, token, limit };
        let vault = session.id_of(&["v1", "vaults"], &place.vault).await?;
        let items = ["v1", "vaults", vault.as_str(), "items"];
        let item = session.id_of(&items, &place.item).await?;
        let path = ["v1", "vaults", vault.as_str(), "items", item.as_str()];
        let item: Item = rest::json(&session.get(&path, None).await?)?;
        pick(item, place)
    }
}

impl Session<'_> {
    /// The id of the one entry that is called `name`.
    ///
    /// The names in the answer are compared again, so a server that ignores filters cannot make us
    /// take another's secret.
    async fn id_of(&self, list: &[&str], name: &str) -> Result<String, Fault> {
        if is_id(name) {
            return Ok(name.to_owned());
        }
        let answer = self.get(list, Some(&title_filter(name))).await?;
        let found: Vec<Listed> = rest::json(&answer)?;
        let called = found
            .into_iter()
            .filter(|entry| entry.state.is_none() && entry.name.eq_ignore_ascii_case(name));
        let entry = only_one(called)?;
        // It becomes part of a path.
        if is_id(&entry.id) { Ok(entry.id) } else { Err(Fault::UNEXPECTED) }
    }

    async fn get(&self, path: &[&str], filter: Option<&str>) -> Result<Answer, Fault> {
        let mut url = rest::under(&self.connect.url, path.iter().copied())?;
        if let Some(filter) = filter {
            url.query_pairs_mut().append_pair("filter", filter);
        }
        let call = Call::get(url).header(AUTHORIZATION, self.token.clone());
        let answer = self.connect.outbound.send(call, rest::limits(self.limit)).await?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            401 | 403 => Err(Fault::AccessDenied(None)),
            404 => Err(Fault::NotFound(None)),
            429 => Err(Fault::Unavailable(Detail::RateLimited, rest::retry_after(&answer))),
            500..=599 => Err(Fault::Unavailable(Detail::Faulty, rest::retry_after(&answer))),
            _ => Err(Fault::UNEXPECTED),
        }
    }
}

impl SecretProvider for Connect {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        async move {
            let found = match reference {
                SecretRef::OnePassword(place) => self.read(place, limit).await,
                _ => Err(Fault::UNEXPECTED),
            };
            found.map_err(|fault| fault.at(reference))
        }
        .boxed()
    }
}

/// The field a reference names, by id or label, without case. Where no section is named, a field
/// outside all sections is meant before one inside.
fn pick(item: Item, place: &OnePasswordRef) -> Result<SecretText, Fault> {
    let Item { state, sections, fields } = item;
    if state.is_some() {
        return Err(Fault::NotFound(None));
    }
    let named = fields
        .into_iter()
        .filter(|field| is_called(&field.id, field.label.as_deref(), &place.field));
    let field = if let Some(name) = &place.section {
        let called = |section: &Section| is_called(&section.id, section.label.as_deref(), name);
        let section = only_one(sections.into_iter().filter(called))?;
        only_one(
            named.filter(|field| field.section.as_ref().is_some_and(|of| of.id == section.id)),
        )?
    } else {
        let (inside, outside): (Vec<_>, Vec<_>) = named.partition(|field| field.section.is_some());
        only_one(if outside.is_empty() { inside } else { outside })?
    };
    // A one-time code changes every 30 seconds: it is never what a reference to a secret means.
    if field.kind.as_deref() == Some("OTP") {
        return Err(Fault::MALFORMED);
    }
    value::checked(field.value.unwrap_or_default())
}

fn is_called(id: &str, label: Option<&str>, name: &str) -> bool {
    id.eq_ignore_ascii_case(name) || label.is_some_and(|label| label.eq_ignore_ascii_case(name))
}

fn only_one<T>(found: impl IntoIterator<Item = T>) -> Result<T, Fault> {
    let mut found = found.into_iter();
    let first = found.next().ok_or(Fault::NotFound(None))?;
    if found.next().is_some() { Err(Fault::NotFound(Some(Detail::Ambiguous))) } else { Ok(first) }
}

/// A filter in the SCIM style that Connect reads. The grammar of references already keeps quotes out;
/// they are escaped here all the same.
fn title_filter(name: &str) -> String {
    format!("title eq \"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn bearer(token: &SecretText) -> Result<HeaderValue, Fault> {
    let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_error| Fault::AccessDenied(Some(Detail::Credential)))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_filter() {
        assert_eq!(title_filter(r#"a" or "b\"#), r#"title eq "a\" or \"b\\""#);
    }

    fn picked(item: serde_json::Value, reference: &str) -> Result<SecretText, Fault> {
        let Ok(SecretRef::OnePassword(place)) = reference.parse() else { panic!("{reference}") };
        pick(serde_json::from_value(item).unwrap(), &place)
    }

    #[test]
    fn a_field_outside_all_sections_is_meant_first() {
        let item = serde_json::json!({"sections": [{"id": "s1", "label": "Old"}], "fields": [
            {"id": "a", "label": "key", "value": "in", "section": {"id": "s1"}},
            {"id": "b", "label": "Key", "value": "out"}]});
        assert_eq!(picked(item.clone(), "op://v/i/key").unwrap().expose(), "out");
        assert_eq!(picked(item.clone(), "op://v/i/old/key").unwrap().expose(), "in");
        assert_eq!(picked(item, "op://v/i/new/key"), Err(Fault::NotFound(None)));
    }

    #[test]
    fn two_fields_of_one_name_are_ambiguous() {
        let item = serde_json::json!({"fields": [
            {"id": "a", "label": "key", "value": "1"}, {"id": "b", "label": "key", "value": "2"}]});
        let ambiguous = Fault::NotFound(Some(Detail::Ambiguous));
        assert_eq!(picked(item.clone(), "op://v/i/key"), Err(ambiguous));
        assert_eq!(picked(item, "op://v/i/b").unwrap().expose(), "2");
    }

    #[test]
    fn one_time_codes_empty_fields_and_archived_items_are_not_secrets() {
        let otp = serde_json::json!({"fields": [{"id": "x", "type": "OTP", "value": "123456"}]});
        let empty = serde_json::json!({"fields": [{"id": "x"}]});
        let archived =
            serde_json::json!({"state": "ARCHIVED", "fields": [{"id": "x", "value": "v"}]});
        assert_eq!(picked(otp, "op://v/i/x"), Err(Fault::MALFORMED));
        assert_eq!(picked(empty, "op://v/i/x"), Err(Fault::MALFORMED));
        assert_eq!(picked(archived, "op://v/i/x"), Err(Fault::NotFound(None)));
    }
}
