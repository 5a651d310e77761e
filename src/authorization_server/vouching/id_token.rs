//! The provider's own word about somebody, for who exchanges it there.

use std::sync::Arc;

use crate::id::UserId;
use crate::secret_text::SecretText;
use crate::store::StoreError;

use super::kept::Kept;
use super::{Stands, Vouching};

/// Why there is no ID token of somebody's, though some are kept.
#[derive(Debug, thiserror::Error)]
pub enum NoIdToken {
    #[error("the identity provider stands by the person no more")]
    Ended,
    #[error("the identity provider gives no other ID token now")]
    Away,
    #[error("the store did not answer")]
    Store(#[from] StoreError),
}

impl Vouching {
    /// An ID token that lasts, of somebody who logged in at the provider with this issuer, for our client there. `None`: none is
    /// kept.
    ///
    /// # Errors
    ///
    /// [`NoIdToken`]
    pub(in crate::authorization_server) async fn id_token(
        &self,
        user_id: UserId,
        (issuer, client_id): (&str, &str),
    ) -> Result<Option<SecretText>, NoIdToken> {
        let provider = self.0.providers.of_issuer(issuer);
        let provider = provider.filter(|provider| {
            provider.standing().keep_tokens && provider.client_id() == client_id
        });
        let Some(provider) = provider else { return Ok(None) };
        for is_last in [false, true] {
            let word = self.0.store.find_provider_word(user_id, issuer).await?;
            let Some(row) = word.tokens else { return Ok(None) };
            let Some(kept) = Kept::open(&self.0.key, &row) else { return Ok(None) };
            let token = kept.id_token.as_ref().filter(|_| kept.is_of(client_id));
            let Some(token) = token else { return Ok(None) };
            if kept.lasts(self.0.clock.now()) {
                return Ok(Some(token.clone()));
            }
            if is_last {
                break;
            }
            match self.asked(Arc::clone(&provider), row).await? {
                Stands::Yes => {}
                Stands::No => return Err(NoIdToken::Ended),
                Stands::Unknown => break,
            }
        }
        Err(NoIdToken::Away)
    }
}
