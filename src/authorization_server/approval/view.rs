//! A call that waits, as its page shows it.

use crate::authorization_server::consent::{Introduction, Standing, introduce};
use crate::authorization_server::pages::{Fault, clean, when};
use crate::authorization_server::person::People;
use crate::authorization_server::session::Session;
use crate::broker::{Approvals, Approver, Through, in_words};
use crate::id::Issuer;
use crate::store::{ApprovalRow, ApprovalState, Requester, StoreError};

#[derive(Debug)]
pub(super) struct CallView {
    pub(super) id: String,
    pub(super) tool: String,
    pub(super) who: String,
    pub(super) client: String,
    pub(super) rule: String,
    pub(super) approvers: String,
    pub(super) state: &'static str,
    pub(super) waits: bool,
    pub(super) until: String,
    /// As JSON, or why they cannot be shown.
    pub(super) arguments: String,
    /// Their beginning, by which calls of one tool are told apart in a list.
    pub(super) gist: String,
    pub(super) comment: Option<String>,
}

pub(super) async fn call(
    people: &People,
    approvals: &Approvals,
    row: &ApprovalRow,
) -> Result<CallView, Fault> {
    let asked = &row.requester;
    let ours = people.server.url("").parse().map_err(|_| StoreError::Corrupt("issuer"))?;
    let who = in_words(&*people.server.store, &ours, asked).await?;
    let is_late = row.expires_at <= approvals.clock.now();
    let is_outdated = approvals.is_of_other_rules(row);
    let arguments = approvals
        .shown(row)
        .unwrap_or_else(|| "They cannot be shown: they were sealed with another key.".to_owned());
    Ok(CallView {
        id: row.id.to_string(),
        tool: row.tool.to_string(),
        who: clean(&who),
        client: client(people, &ours, asked).await?,
        rule: format!("{} ({})", row.rule, row.policy_version),
        approvers: match row.approvers.as_slice() {
            [] => "administrators".to_owned(),
            groups => groups.join(", "),
        },
        state: match row.state {
            ApprovalState::Pending | ApprovalState::Approved if is_late => {
                "over: its time has passed"
            }
            ApprovalState::Pending | ApprovalState::Approved if is_outdated => {
                "over: the rules have changed"
            }
            ApprovalState::Pending => "waits for an answer",
            ApprovalState::Approved => "approved, not used yet",
            ApprovalState::Denied => "denied",
            ApprovalState::Used => "approved and used",
        },
        waits: row.state == ApprovalState::Pending && !is_late && !is_outdated,
        until: when(row.expires_at),
        gist: gist(&arguments),
        arguments,
        comment: row.answer.as_ref().and_then(|answer| answer.comment.clone()),
    })
}

/// In one line, and not more than a few.
fn gist(arguments: &str) -> String {
    const MOST: usize = 160;
    let line = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST).and_then(|(end, _)| line.get(..end)) {
        Some(start) => format!("{start}…"),
        None => line,
    }
}

/// The app as consent names it (N93). An app of another issuer is known by its id alone.
async fn client(people: &People, ours: &Issuer, asked: &Requester) -> Result<String, Fault> {
    let Some(id) = &asked.client_id else { return Ok("an unnamed app".to_owned()) };
    if asked.issuer != *ours {
        return Ok(clean(id.as_str()));
    }
    let Introduction { name, standing } = introduce(&people.server, id).await?;
    Ok(match standing {
        Standing::Registered => name,
        Standing::Published(host) => format!("{name} (published by {host})"),
        Standing::Unapproved(host) => {
            format!("{name} (published by {host}, which your organisation has not approved)")
        }
        Standing::Unverified => {
            format!("{name} (unverified: it chose this name itself; id {})", clean(id.as_str()))
        }
    })
}

/// The person at the browser, with every identity they have.
pub(super) async fn approver(people: &People, session: &Session) -> Result<Approver, Fault> {
    let user = &session.person.user;
    let corrupt = |_| StoreError::Corrupt("identity");
    let name = user.id.to_string().parse().map_err(corrupt)?;
    let own = people.server.url("").parse().map_err(corrupt)?;
    let mut identities = vec![(own, user.id.to_string().parse().map_err(corrupt)?)];
    for (issuer, subject) in people.server.store.list_identities(user.id).await? {
        identities.push((issuer.parse().map_err(corrupt)?, subject.parse().map_err(corrupt)?));
    }
    Ok(Approver {
        name,
        identities,
        known_as: user.email.iter().chain([&user.username]).cloned().collect(),
        groups: user.groups.clone(),
        administrator: user.administrator,
        through: Through::Themselves,
    })
}
