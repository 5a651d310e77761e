//! The store's contract in a few lines of memory.

use super::*;

use std::sync::Mutex;

use async_trait::async_trait;

use crate::store::{ApprovalAnswer, Digest, Page, PageRequest, UsedApproval};

#[derive(Default)]
pub(super) struct Memory(pub(super) Mutex<Vec<ApprovalRow>>);

fn open(row: &ApprovalRow, now: Timestamp) -> bool {
    row.state != ApprovalState::Used && now < row.expires_at
}

#[async_trait]
impl ApprovalStore for Memory {
    async fn ask_approval(
        &self,
        row: &ApprovalRow,
        most_pending: u32,
        now: Timestamp,
    ) -> Result<Asked, StoreError> {
        let mut rows = self.0.lock().unwrap();
        if let Some(known) = rows.iter().find(|known| known.call == row.call && open(known, now)) {
            return Ok(Asked::Known(Box::new(known.clone())));
        }
        let mine = |known: &&ApprovalRow| {
            known.requester.subject == row.requester.subject
                && known.state == ApprovalState::Pending
                && known.policy_version == row.policy_version
                && now < known.expires_at
        };
        if rows.iter().filter(mine).count() >= most_pending as usize {
            return Ok(Asked::TooMany);
        }
        rows.push(row.clone());
        Ok(Asked::New)
    }

    async fn find_approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        Ok(self.0.lock().unwrap().iter().find(|row| row.id == id).cloned())
    }

    async fn list_approvals(
        &self,
        _page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<ApprovalRow>, StoreError> {
        let rows = self.0.lock().unwrap();
        let pending = |row: &&ApprovalRow| row.state == ApprovalState::Pending && open(row, now);
        Ok(Page { rows: rows.iter().filter(pending).cloned().collect(), next: None })
    }

    async fn answer_approval(
        &self,
        id: ApprovalId,
        answer: &ApprovalAnswer,
    ) -> Result<bool, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let pending = |row: &&mut ApprovalRow| {
            row.id == id && row.state == ApprovalState::Pending && answer.at < row.expires_at
        };
        let Some(row) = rows.iter_mut().find(pending) else { return Ok(false) };
        row.state = if answer.approved { ApprovalState::Approved } else { ApprovalState::Denied };
        row.answer = Some(answer.clone());
        Ok(true)
    }

    async fn use_approval(
        &self,
        call: &Digest,
        now: Timestamp,
    ) -> Result<Option<UsedApproval>, StoreError> {
        let mut rows = self.0.lock().unwrap();
        let approved = |row: &&mut ApprovalRow| {
            row.call == *call && row.state == ApprovalState::Approved && open(row, now)
        };
        let Some(row) = rows.iter_mut().find(approved) else { return Ok(None) };
        row.state = ApprovalState::Used;
        let answer = row.answer.clone().unwrap();
        Ok(Some(UsedApproval { id: row.id, approver: answer.approver }))
    }
}
