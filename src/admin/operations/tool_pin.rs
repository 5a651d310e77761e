//! What tools of servers behind the broker were approved as, and what they are now.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::error::AdminError;
use crate::audit::{AdminAction, AdminObject};
use crate::id::ToolName;
use crate::store::{Page, ToolApproval, ToolApproved, ToolPinList, ToolPinRow};
use crate::time::Timestamp;

use super::server::known;
use super::{Actor, Operations, PageQuery, found, shown};

const PIN: &str = "pin";
const ANOTHER: AdminError = AdminError::Outdated {
    problem: "neither the approved definition nor the one that waits has that digest",
    hint: "look at what waits by now: broker server pin show SERVER TOOL, or GET the pin",
};
/// Differences that are shown of one definition.
const DIFFERENCES: usize = 1_000;

/// A tool of a server, as it was approved.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ToolPinView {
    /// By the server's own name.
    pub tool: String,
    /// Of the approved definition, without `_meta`.
    pub digest: String,
    #[schemars(with = "String")]
    pub approved_at: Timestamp,
    /// Null: nobody, it was the first definition that was seen.
    pub approved_by: Option<String>,
    /// Of another definition that the server gave since, and nobody has approved; it waits also where the server gives the
    /// approved one again. Null: none waits.
    pub found_digest: Option<String>,
    #[schemars(with = "Option<String>")]
    pub found_at: Option<Timestamp>,
}

/// The same with the definitions.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ToolPinDetail {
    pub pin: ToolPinView,
    /// Null: it is too long to be kept.
    pub definition: Option<Value>,
    /// What waits to be approved. Null: nothing, or it is too long to be kept.
    pub found_definition: Option<Value>,
    /// From the approved definition to the one that waits; the first thousand. Null: one of them is not there.
    pub differences: Option<Vec<ToolDifference>>,
}

/// One place in which two definitions differ.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct ToolDifference {
    /// A JSON pointer (RFC 6901).
    pub at: String,
    /// Null also where nothing is there.
    pub approved: Option<Value>,
    /// Null also where nothing is there any more.
    pub found: Option<Value>,
}

/// Which definition is approved.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToolApproval {
    /// The one that waits; or the approved one, and what waits is dropped.
    pub digest: String,
}

impl From<ToolPinRow> for ToolPinView {
    fn from(row: ToolPinRow) -> Self {
        let (found_digest, found_at) = row.found.map(|found| (found.digest, found.at)).unzip();
        Self {
            tool: row.tool,
            digest: row.digest,
            approved_at: row.approved_at,
            approved_by: row.approved_by,
            found_digest,
            found_at,
        }
    }
}

impl From<ToolPinRow> for ToolPinDetail {
    fn from(row: ToolPinRow) -> Self {
        let read = |text: Option<&String>| serde_json::from_str::<Value>(text?).ok();
        let definition = read(row.definition.as_ref());
        let found = row.found.as_ref();
        let found_definition = read(found.and_then(|found| found.definition.as_ref()));
        let both = definition.as_ref().zip(found_definition.as_ref());
        let differences = both.map(|(approved, found)| {
            let mut all = Vec::new();
            differ((approved, found), "", &mut all);
            all
        });
        Self { pin: row.into(), definition, found_definition, differences }
    }
}

fn differ((approved, found): (&Value, &Value), at: &str, all: &mut Vec<ToolDifference>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match (approved, found) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let at = format!("{at}/{}", escaped(name));
                both_or_one((old.get(name), new.get(name)), &at, all);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for place in 0..old.len().max(new.len()) {
                both_or_one((old.get(place), new.get(place)), &format!("{at}/{place}"), all);
            }
        }
        _ if approved == found => {}
        _ => both_or_one_differs((Some(approved), Some(found)), at, all),
    }
}

fn both_or_one(
    (approved, found): (Option<&Value>, Option<&Value>),
    at: &str,
    all: &mut Vec<ToolDifference>,
) {
    match (approved, found) {
        (Some(approved), Some(found)) => differ((approved, found), at, all),
        one => both_or_one_differs(one, at, all),
    }
}

fn both_or_one_differs(
    (approved, found): (Option<&Value>, Option<&Value>),
    at: &str,
    all: &mut Vec<ToolDifference>,
) {
    if all.len() < DIFFERENCES {
        let (approved, found) = (approved.cloned(), found.cloned());
        all.push(ToolDifference { at: at.to_owned(), approved, found });
    }
}

impl Operations {
    /// The pins of a server of the settings or a registered one, by name.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], [`AdminError::Store`]
    pub async fn list_tool_pins(
        &self,
        server: &str,
        (changed, page): (bool, &PageQuery),
    ) -> Result<Page<ToolPinView>, AdminError> {
        let server = self.behind_us(server).await?;
        let which = if changed { ToolPinList::Changed } else { ToolPinList::All };
        Ok(shown(self.store.list_tool_pins(&server, which, &page.request()).await?))
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`], [`AdminError::Store`]
    pub async fn find_tool_pin(
        &self,
        server: &str,
        tool: &str,
    ) -> Result<ToolPinDetail, AdminError> {
        let (server, _) = self.tool_of(server, tool).await?;
        let row = self.store.find_tool_pin(&server, tool).await?;
        Ok(row.ok_or(AdminError::NotFound(PIN))?.into())
    }

    /// Approves the very definition that somebody has looked at. Every replica follows within seconds.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Outdated`] where the definition is another again
    pub async fn approve_tool(
        &self,
        actor: &Actor,
        (server, tool): (&str, &str),
        approved: NewToolApproval,
    ) -> Result<ToolPinView, AdminError> {
        let (server, name) = self.tool_of(server, tool).await?;
        let context = &actor.context;
        let by = context.requester_id.as_ref().map(ToString::to_string);
        let by = by.or_else(|| context.client_id.as_ref().map(ToString::to_string));
        let (digest, at) = (approved.digest, self.clock.now());
        let approval =
            ToolApproval { server: server.clone(), tool: tool.to_owned(), digest, by, at };
        self.change(actor, (AdminObject::ToolPin, AdminAction::Approve, &name), async {
            match self.store.approve_tool(&approval).await? {
                ToolApproved::Done => Ok(()),
                ToolApproved::Other => Err(ANOTHER),
                ToolApproved::Unknown => Err(AdminError::NotFound(PIN)),
            }
        })
        .await?;
        let row = self.store.find_tool_pin(&server, tool).await?;
        Ok(row.ok_or(AdminError::NotFound(PIN))?.into())
    }

    /// Forgets a tool: the next definition that is seen is taken for the approved one.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn delete_tool_pin(
        &self,
        actor: &Actor,
        (server, tool): (&str, &str),
    ) -> Result<(), AdminError> {
        let (server, name) = self.tool_of(server, tool).await?;
        self.change(actor, (AdminObject::ToolPin, AdminAction::Delete, &name), async {
            found(self.store.delete_tool_pin(&server, tool).await?, PIN)
        })
        .await
    }

    /// A server, and a tool of it as rules know it. What is no name goes neither to the store nor into the audit log.
    async fn tool_of(&self, server: &str, tool: &str) -> Result<(String, String), AdminError> {
        let server = self.behind_us(server).await?;
        let name = format!("{server}.{tool}");
        let fits = name.parse::<ToolName>().is_ok();
        if fits { Ok((server, name)) } else { Err(AdminError::NotFound(PIN)) }
    }

    /// A server that is reached through this broker.
    async fn behind_us(&self, id: &str) -> Result<String, AdminError> {
        let id = known(id)?;
        if self.settings.configured_servers.contains(&id) {
            return Ok(id);
        }
        let row = self.store.find_resource(&id).await?.filter(|row| row.url.is_some());
        found(row.is_some(), "server that is reached through this broker").map(|()| id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_definitions_differ_where_they_say_something_else() {
        let approved =
            json!({ "name": "get", "description": "Reads.", "a/b": [1, { "x": true }], "gone": 1 });
        let found = json!({ "name": "get", "description": "Sends.", "a/b": [1, { "x": null }, 3], "new": {} });
        let mut all = Vec::new();
        differ((&approved, &found), "", &mut all);
        let said: Vec<_> =
            all.iter().map(|one| json!([one.at, one.approved, one.found]).to_string()).collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        ["/a~1b/1/x",true,null]
        ["/a~1b/2",null,3]
        ["/description","Reads.","Sends."]
        ["/gone",1,null]
        ["/new",null,{}]
        "#);
    }

    #[test]
    fn of_many_differences_the_first_are_shown() {
        let mut all = Vec::new();
        differ((&json!(vec![1; 5_000]), &json!(vec![2; 5_000])), "", &mut all);
        assert_eq!(all.len(), DIFFERENCES);
    }
}
