//! What a device asked for, and what its person is asked.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::authorization_server::authorize::{self, Pending, Prompt};
use crate::authorization_server::consent::{Introduction, introduce};
use crate::authorization_server::pages::Fault;
use crate::authorization_server::person::{People, Person};
use crate::id::ClientId;
use crate::scope::Scope;
use crate::store::{DeviceRequestRow, Digest, StoreError};

use super::{DEVICE_CLASS, NO_CHALLENGE};

/// A device's request, as it waits in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) scope: Scope,
    pub(super) resource: String,
    /// The most that its client may have, where an operator set it.
    pub(super) limit: Option<Scope>,
    /// Whether its client is registered for refresh tokens.
    pub(super) refresh: bool,
    /// Where it came from, for its person to compare.
    pub(super) address: Option<IpAddr>,
    /// In seconds since the epoch.
    pub(super) at: i64,
}

impl Asked {
    pub(super) fn written(&self) -> String {
        #[expect(clippy::expect_used, reason = "texts, numbers and flags always serialise")]
        serde_json::to_string(self).expect("a request of texts serialises")
    }

    fn read(stored: &str) -> Result<Self, StoreError> {
        serde_json::from_str(stored).map_err(|_| StoreError::Corrupt("device_requests.parameters"))
    }

    /// As an authorization request, so that what a person may be granted is decided by the same rules.
    fn pending(&self, client_id: ClientId) -> Pending {
        Pending {
            client_id,
            redirect_uri: DEVICE_CLASS.to_owned(),
            state: None,
            scope: self.scope.clone(),
            limit: self.limit.clone(),
            resource: self.resource.clone(),
            code_challenge: NO_CHALLENGE.to_owned(),
            nonce: None,
            login_hint: None,
            prompt: Prompt::default(),
            max_age: None,
            acr_values: Vec::new(),
            requested_at: self.at,
            client_digest: None,
            trusted_client: true, // of the settings file: no other has the grant
            refresh: self.refresh,
            dpop_jkt: None,
            hinted: None,
        }
    }
}

/// One question to one person.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) pending: Pending,
    pub(super) client: Introduction,
    pub(super) asked: Asked,
    pub(super) device_code: Digest,
    /// Everything that a yes gives.
    pub(super) offered: Scope,
    /// Asked for, and not to be had by this person through this client.
    pub(super) left_out: usize,
    /// Names exactly what is shown (N104).
    pub(super) digest: String,
}

impl Question {
    pub(super) async fn ask(
        people: &People,
        person: &Person,
        row: DeviceRequestRow,
    ) -> Result<Self, Fault> {
        let server = &people.server;
        let asked = Asked::read(&row.parameters)?;
        let pending = asked.pending(row.client_id.clone());
        let offered = authorize::offer(server, &pending, person).await?.scope;
        let client = introduce(server, &row.client_id).await?;
        let shown = format!("{}|{}|{offered}", row.client_id.as_str(), row.parameters);
        let digest = URL_SAFE_NO_PAD.encode(Digest::of(&shown).as_bytes());
        let left_out = offered.missing(&pending.scope).len();
        let device_code = row.device_code;
        Ok(Self { pending, client, asked, device_code, offered, left_out, digest })
    }
}
