//! What the pages hardly ask for.

use async_trait::async_trait;

use crate::id::{ApprovalId, ClientId, UserId};
use crate::store::*;
use crate::time::Timestamp;

use super::FakeStore;

#[async_trait]
impl ApprovalStore for FakeStore {
    async fn ask_approval(
        &self,
        _row: &ApprovalRow,
        _most_pending: u32,
        _now: Timestamp,
    ) -> Result<Asked, StoreError> {
        unimplemented!()
    }
    async fn find_approval(&self, _id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        unimplemented!()
    }
    async fn list_approvals(
        &self,
        _page: &PageRequest,
        _now: Timestamp,
    ) -> Result<Page<ApprovalRow>, StoreError> {
        unimplemented!()
    }
    async fn answer_approval(
        &self,
        _id: ApprovalId,
        _answer: &ApprovalAnswer,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn use_approval(
        &self,
        _call: &Digest,
        _now: Timestamp,
    ) -> Result<Option<UsedApproval>, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl DeviceStore for FakeStore {
    async fn add_device_request(&self, _row: &DeviceRequestRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn claim_device_request(
        &self,
        _user_code: &Digest,
        _session: &Digest,
        _now: Timestamp,
    ) -> Result<Option<DeviceRequestRow>, StoreError> {
        unimplemented!()
    }
    async fn claimed_device_request(
        &self,
        _user_code: &Digest,
        _session: &Digest,
        _now: Timestamp,
    ) -> Result<Option<DeviceRequestRow>, StoreError> {
        unimplemented!()
    }
    async fn answer_device_request(
        &self,
        _user_code: &Digest,
        _session: &Digest,
        _answer: &DeviceAnswer,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn poll_device_request(
        &self,
        _device_code: &Digest,
        _client_id: &ClientId,
        _now: Timestamp,
    ) -> Result<Polled, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl ClientStore for FakeStore {
    async fn find_client(&self, id: &ClientId) -> Result<Option<ClientRow>, StoreError> {
        Ok(self.lock().clients.iter().find(|row| row.id == *id).cloned())
    }
    async fn add_client(&self, _row: &ClientRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn replace_registration(&self, _new: &NewRegistration) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn update_client(
        &self,
        _id: &ClientId,
        _metadata: &str,
        _digest: Digest,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn change_client(
        &self,
        _id: &ClientId,
        _metadata: &str,
        _digests: (Digest, Digest),
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn list_clients(&self, _page: &PageRequest) -> Result<Page<ClientRow>, StoreError> {
        unimplemented!()
    }
    async fn rotate_client_secret(
        &self,
        _id: &ClientId,
        _secret: Digest,
        _previous_until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disable_client(
        &self,
        _id: &ClientId,
        _at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_client(&self, _id: &ClientId) -> Result<bool, StoreError> {
        unimplemented!()
    }
    fn client_used(&self, _id: &ClientId, _at: Timestamp) {}
    async fn reap_clients(&self, _idle_since: Timestamp, _limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn find_metadata_document(
        &self,
        url: &str,
    ) -> Result<Option<MetadataDocument>, StoreError> {
        let _ = url;
        Ok(None)
    }
    async fn put_metadata_document(&self, _document: &MetadataDocument) -> Result<(), StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl RegistrationTokenStore for FakeStore {
    async fn add_registration_token(
        &self,
        _row: &RegistrationTokenRow,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_registration_token(
        &self,
        _prefix: &str,
    ) -> Result<Option<RegistrationTokenRow>, StoreError> {
        unimplemented!()
    }
    async fn list_registration_tokens(
        &self,
        _page: &PageRequest,
    ) -> Result<Page<RegistrationTokenRow>, StoreError> {
        unimplemented!()
    }
    async fn use_registration_token(
        &self,
        _prefix: &str,
        _token: &Digest,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_registration_token(&self, _prefix: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl ResourceStore for FakeStore {
    async fn add_resource(&self, _row: &ResourceRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn change_resource(&self, _change: &ResourceChange) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disable_resource(
        &self,
        _id: &str,
        _at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn set_resource_proxy(
        &self,
        _id: &str,
        _url: &str,
        _proxy: Option<&str>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_resource(&self, _id: &str) -> Result<Option<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn find_resource_by_uri(&self, _uri: &str) -> Result<Option<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn list_resources(&self, _page: &PageRequest) -> Result<Page<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn list_proxied_resources(&self) -> Result<Vec<ResourceRow>, StoreError> {
        unimplemented!()
    }
    async fn delete_resource(
        &self,
        _id: &str,
        _keep_pins: bool,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn add_api_key(&self, _row: &ApiKeyRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn find_api_key(&self, _prefix: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        unimplemented!()
    }
    async fn list_api_keys(&self, _resource_id: &str) -> Result<Vec<ApiKeyRow>, StoreError> {
        unimplemented!()
    }
    async fn revoke_api_key(
        &self,
        _resource_id: &str,
        _prefix: &str,
        _at: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    fn api_key_used(&self, _prefix: &str, _at: Timestamp) {}
}

#[async_trait]
impl SigningKeyStore for FakeStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        unimplemented!()
    }
    async fn add_first_signing_key(&self, _row: &SigningKeyRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn add_signing_key(&self, _row: &SigningKeyRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn add_signing_key_after(
        &self,
        _row: &SigningKeyRow,
        _newest: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn replace_signing_keys(&self, _rows: &[SigningKeyRow]) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn retire_signing_key(
        &self,
        _kid: &str,
        _retire_at: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn delete_signing_key(&self, _kid: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl UpstreamAccountStore for FakeStore {
    async fn find_upstream_account(
        &self,
        _user_id: UserId,
        _server: &str,
    ) -> Result<Option<UpstreamAccountRow>, StoreError> {
        unimplemented!()
    }
    async fn list_upstream_accounts(
        &self,
        _user_id: UserId,
    ) -> Result<Vec<UpstreamAccountRow>, StoreError> {
        unimplemented!()
    }
    async fn put_upstream_account(&self, _row: &UpstreamAccountRow) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn claim_upstream_account(
        &self,
        _row: &UpstreamAccountRow,
        _now: Timestamp,
        _until: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn renew_upstream_account(
        &self,
        _row: &UpstreamAccountRow,
        _sealed: &str,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn disconnect_upstream_account(
        &self,
        _user_id: UserId,
        _server: &str,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn end_upstream_account(
        &self,
        _user_id: UserId,
        _server: &str,
        _version: i64,
    ) -> Result<Option<UpstreamAccountRow>, StoreError> {
        unimplemented!()
    }
    async fn end_accounts_without_grant(&self, _now: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn claim_ended_account(
        &self,
        _now: Timestamp,
        _until: Timestamp,
    ) -> Result<Option<EndedAccount>, StoreError> {
        unimplemented!()
    }
    async fn put_off_ended_account(
        &self,
        _account: &UpstreamAccountRow,
        _next_at: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn forget_ended_account(&self, _account: &UpstreamAccountRow) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn find_upstream_client(&self, _server: &str) -> Result<Option<String>, StoreError> {
        unimplemented!()
    }
    async fn put_upstream_client(
        &self,
        _server: &str,
        _sealed: &str,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl LeaseStore for FakeStore {
    async fn take_calls(
        &self,
        _key: &Digest,
        _rate: LeaseRate,
        _wanted: std::num::NonZeroU32,
        _at: Option<Timestamp>,
    ) -> Result<Lease, StoreError> {
        unimplemented!()
    }
    async fn forget_idle_rates(&self, _at: Option<Timestamp>) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn take_place(
        &self,
        _lease: PlaceLease,
        _most: std::num::NonZeroU32,
        _at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn hold_places(
        &self,
        _owner: Digest,
        _held: Vec<(Digest, u32)>,
        _at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn forget_ended_places(&self, _at: Option<Timestamp>) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

/// As a store that was never asked for it.
#[async_trait]
impl SealingStore for FakeStore {
    async fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        Ok(None)
    }
    async fn adopt_sealing(&self, _first: &Sealing) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn change_sealing(
        &self,
        _from: &str,
        _to: &Sealing,
        _at: Option<Timestamp>,
    ) -> Result<SealingChange, StoreError> {
        unimplemented!()
    }
    async fn restart_sealing(
        &self,
        _from: &str,
        _to: &Sealing,
    ) -> Result<SealingRestart, StoreError> {
        unimplemented!()
    }
    async fn announce_keys(
        &self,
        _broker: Digest,
        _key_ids: Vec<String>,
        _at: Option<Timestamp>,
    ) -> Result<Option<String>, StoreError> {
        unimplemented!()
    }
    async fn withdraw_keys(&self, _broker: Digest) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn sealed_rows(
        &self,
        _place: SealedPlace,
        _after: Option<&SealedRow>,
    ) -> Result<Vec<SealedRow>, StoreError> {
        unimplemented!()
    }
    async fn reseal(&self, _place: SealedPlace, _rows: Vec<Resealed>) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn count_sealed(&self) -> Result<Vec<SealedCount>, StoreError> {
        unimplemented!()
    }
}
