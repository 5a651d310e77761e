//! Devices that wait for a person to log in elsewhere (RFC 8628).

use std::time::Duration;

use async_trait::async_trait;

use crate::id::ClientId;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::grant::{CodeRow, GrantRow};

/// What a device asked for.
#[derive(Clone, Debug)]
pub struct DeviceRequestRow {
    pub device_code: Digest,
    /// Keyed by whoever makes it: a plain digest of so few characters could be undone.
    pub user_code: Digest,
    pub client_id: ClientId,
    /// The validated request as JSON; its shape belongs to `authorization_server`.
    pub parameters: String,
    /// How long the device has to wait between two polls at first.
    pub wait: Duration,
    pub expires_at: Timestamp,
}

/// What a person answered.
#[derive(Clone, Debug)]
pub enum DeviceAnswer {
    /// The grant, and what the device's code is redeemed by: its `code` is the device code's digest.
    Approve(Box<(GrantRow, CodeRow)>),
    Deny,
}

/// What a poll is answered (RFC 8628 §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// No such device code, or another client's: nothing was changed.
    Unknown,
    /// Too early: from now on the device has to wait five seconds longer between two polls.
    TooEarly,
    Pending,
    Denied,
    Expired,
    /// The code can be redeemed. Of polls at the same time one gets here, the others are too early.
    Approved,
}

#[async_trait]
pub trait DeviceStore: Send + Sync {
    /// `false` where the user code is another request's.
    async fn add_device_request(&self, row: &DeviceRequestRow) -> Result<bool, StoreError>;
    /// The request with this user code while it waits, for this browser session: the first one that asks has it, and no
    /// other sees or answers it.
    async fn claim_device_request(
        &self,
        user_code: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRequestRow>, StoreError>;
    /// The request with this user code while it waits, where this browser session has claimed it. Changes nothing.
    async fn claimed_device_request(
        &self,
        user_code: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRequestRow>, StoreError>;
    /// Answers it, once, with all that follows from it. `false` where it does not wait, is late, or is not this
    /// session's, and where the session has ended meanwhile.
    async fn answer_device_request(
        &self,
        user_code: &Digest,
        session: &Digest,
        answer: &DeviceAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Counts one poll and says what it is answered.
    async fn poll_device_request(
        &self,
        device_code: &Digest,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Polled, StoreError>;
}
