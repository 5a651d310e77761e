//! [`ApprovalStore`] on SQL. A row's state moves forward only, each time by one guarded statement.

use async_trait::async_trait;

use crate::id::ApprovalId;
use crate::store::approval::{
    ApprovalAnswer, ApprovalRow, ApprovalState, ApprovalStore, Asked, Requester, UsedApproval,
};
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::time::Timestamp;

use super::columns::columns;
use super::database::SqlDatabase;
use super::sealing::chosen;
use super::{limit, page};

#[async_trait]
impl ApprovalStore for SqlDatabase {
    async fn ask_approval(
        &self,
        row: &ApprovalRow,
        most_pending: u32,
        now: Timestamp,
    ) -> Result<Asked, StoreError> {
        let question = (row.clone(), most_pending, now);
        self.named("ask approvals").write(question, |c, question| Box::pin(ask(c, question))).await
    }

    async fn find_approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        self.named("find approvals").read(&id, |c, id| Box::pin(find(c, id))).await
    }

    async fn list_approvals(
        &self,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<ApprovalRow>, StoreError> {
        self.named("list approvals")
            .read(&(page.clone(), now), |c, which| Box::pin(list(c, which)))
            .await
    }

    async fn answer_approval(
        &self,
        id: ApprovalId,
        answer: &ApprovalAnswer,
    ) -> Result<bool, StoreError> {
        let answer = (id, answer.clone());
        self.named("answer approvals")
            .write(answer, |c, answer| Box::pin(self::answer(c, answer)))
            .await
    }

    async fn use_approval(
        &self,
        call: &Digest,
        now: Timestamp,
    ) -> Result<Option<UsedApproval>, StoreError> {
        self.named("spend approvals").write((*call, now), |c, call| Box::pin(spend(c, call))).await
    }
}

async fn ask(
    c: &mut Connection,
    (row, most_pending, now): &(ApprovalRow, u32, Timestamp),
) -> Result<Asked, StoreError> {
    const LATE: &str = "DELETE FROM approvals \
        WHERE call_digest = $1 AND state <> 'used' AND (expires_at <= $2 OR late = 1)";
    const PENDING: &str = "SELECT COUNT(*) AS pending FROM approvals \
        WHERE issuer = $1 AND subject = $2 AND state = 'pending' AND expires_at > $3 AND late = 0 \
        AND policy_version = $4";
    wait_for_turn(c, &row.requester).await?;
    c.execute(LATE, values![row.call, *now]).await?;
    if let Some(known) = of_call(c, &row.call).await? {
        return Ok(Asked::Known(Box::new(known)));
    }
    let requester = &row.requester;
    // Under other rules nothing waits any more.
    let version = row.policy_version.as_str();
    let asked = values![requester.issuer.as_str(), requester.subject.as_str(), *now, version];
    let pending = match c.row(PENDING, asked).await? {
        Some(row) => row.int("pending")?,
        None => 0,
    };
    if pending >= i64::from(*most_pending) {
        return Ok(Asked::TooMany);
    }
    if add(c, row).await? {
        return Ok(Asked::New);
    }
    // Somebody asked the same at the same time.
    let known = of_call(c, &row.call).await?;
    known.map(|known| Asked::Known(Box::new(known))).ok_or(StoreError::Corrupt("call_digest"))
}

/// Questions of one requester take turns, so that none is asked between another one's counting and asking.
async fn wait_for_turn(c: &mut Connection, who: &Requester) -> Result<(), StoreError> {
    const SQL: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 5570417005))";
    if c.is_postgres() {
        c.execute(SQL, values![format!("{}\n{}", who.issuer, who.subject)]).await?;
    }
    Ok(())
}

async fn add(c: &mut Connection, row: &ApprovalRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO approvals (id, call_digest, issuer, subject, client_id, asserted, tool, \
        sealed_arguments, rule, policy_version, approvers, self_approval, state, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'pending', $13, $14) ON CONFLICT DO NOTHING";
    let sealed_arguments = chosen(c, &row.sealed_arguments).await?;
    let Requester { issuer, subject, client_id, asserted } = &row.requester;
    let values = values![
        row.id.to_string(),
        row.call,
        issuer.as_str(),
        subject.as_str(),
        client_id.as_ref().map(ToString::to_string),
        asserted.as_ref().map(ToString::to_string),
        row.tool.as_str(),
        sealed_arguments,
        row.rule.as_str(),
        row.policy_version.as_str(),
        row.approvers.as_slice(),
        row.self_approval,
        row.created_at,
        row.expires_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

/// The one row about a call that is not used.
async fn of_call(c: &mut Connection, call: &Digest) -> Result<Option<ApprovalRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(approvals),
        " FROM approvals WHERE call_digest = $1 AND state <> 'used'"
    );
    c.row(SQL, values![*call]).await?.as_ref().map(row).transpose()
}

async fn find(c: &mut Connection, id: &ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(approvals), " FROM approvals WHERE id = $1");
    c.row(SQL, values![id.to_string()]).await?.as_ref().map(row).transpose()
}

async fn list(
    c: &mut Connection,
    (wanted, now): &(PageRequest, Timestamp),
) -> Result<Page<ApprovalRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(approvals),
        " FROM approvals WHERE state = 'pending' AND expires_at > $1 AND late = 0 \
        AND id > $2 ORDER BY id LIMIT $3"
    );
    let after = wanted.after.clone().unwrap_or_default();
    let rows = c.rows(SQL, values![*now, after, limit(wanted)]).await?;
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(page(rows, wanted, |row| row.id.to_string()))
}

async fn answer(
    c: &mut Connection,
    (id, answer): &(ApprovalId, ApprovalAnswer),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE approvals SET state = $2, approver = $3, comment = $4, answered_at = $5 \
        WHERE id = $1 AND state = 'pending' AND expires_at > $5 AND late = 0";
    let state = if answer.approved { "approved" } else { "denied" };
    let (approver, comment) = (answer.approver.as_str(), &answer.comment);
    let values = values![id.to_string(), state, approver, comment, answer.at];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn spend(
    c: &mut Connection,
    (call, now): &(Digest, Timestamp),
) -> Result<Option<UsedApproval>, StoreError> {
    const SQL: &str = "UPDATE approvals SET state = 'used' WHERE call_digest = $1 AND state = 'approved' \
        AND answered_at <= $2 AND expires_at > $2 AND late = 0 RETURNING id, approver";
    let Some(row) = c.row(SQL, values![*call, *now]).await? else { return Ok(None) };
    Ok(Some(UsedApproval { id: row.parsed("id")?, approver: row.parsed("approver")? }))
}

/// What is late now stays so: a clock that is set back before the next start brings none of it back.
pub(super) async fn note_late(c: &mut Connection, now: Timestamp) -> Result<u64, StoreError> {
    const SQL: &str = "UPDATE approvals SET late = 1 \
        WHERE late = 0 AND state <> 'used' AND expires_at <= $1";
    c.execute(SQL, values![now]).await
}

fn row(row: &Row) -> Result<ApprovalRow, StoreError> {
    let state = match row.text("state")?.as_str() {
        "pending" => ApprovalState::Pending,
        "approved" => ApprovalState::Approved,
        "denied" => ApprovalState::Denied,
        "used" => ApprovalState::Used,
        _ => return Err(StoreError::Corrupt("state")),
    };
    let answer = match row.maybe_parsed("approver")? {
        None => None,
        Some(approver) => Some(ApprovalAnswer {
            approver,
            approved: state != ApprovalState::Denied,
            comment: row.maybe_text("comment")?,
            at: row.time("answered_at")?,
        }),
    };
    Ok(ApprovalRow {
        id: row.parsed("id")?,
        call: row.digest("call_digest")?,
        requester: Requester {
            issuer: row.parsed("issuer")?,
            subject: row.parsed("subject")?,
            client_id: row.maybe_parsed("client_id")?,
            asserted: row.maybe_parsed("asserted")?,
        },
        tool: row.parsed("tool")?,
        sealed_arguments: row.text("sealed_arguments")?,
        rule: row.parsed("rule")?,
        policy_version: row.text("policy_version")?,
        approvers: row.list("approvers")?,
        self_approval: row.int("self_approval")? != 0,
        state,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        answer,
    })
}
