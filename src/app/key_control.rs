//! Administration's hold on the keys that sign our tokens.

use async_trait::async_trait;

use crate::admin::{KeyControl, KeyFault};
use crate::authorization_server::{KeyError, KeySettings};
use crate::store::SigningKeyRow;
use crate::time::Timestamp;

/// Makes keys as the settings say. A broker that serves sees what came of it at its next look at the store.
#[derive(Debug)]
pub struct Keys(pub KeySettings);

#[async_trait]
impl KeyControl for Keys {
    async fn rotate(&self, at_once: bool) -> Result<Vec<SigningKeyRow>, KeyFault> {
        let rows = if at_once { self.0.rotate_now().await } else { self.0.rotate().await };
        rows.map_err(|error| match error {
            KeyError::Store(error) => KeyFault::Store(error),
            other => KeyFault::Unmade(Box::new(other)),
        })
    }

    fn retire_at(&self) -> Timestamp {
        self.0.retire_at()
    }
}
