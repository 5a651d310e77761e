//! Entra's on-behalf-of flow: the caller's Entra token, which is for us, exchanged for one for a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::TenantId;
use crate::resource_server::{EntraObject, Principal};
use crate::time::{Budget, Clock};
use crate::token::{CredentialSource, Detail, ProfileSettings, ProviderTokens, TokenError};

use super::caller_tokens::{For, Obtained};
use crate::oauth_client::NoToken;

/// For the secret and the exchange together.
const LIMIT: Duration = Duration::from_secs(10);
/// How long before its end a token is no longer used.
const SKEW: Duration = Duration::from_mins(1);

/// The app that acts, and what it asks for.
pub struct OnBehalfOf {
    pub tokens: Arc<ProviderTokens>,
    pub profile: ProfileSettings,
    pub secrets: Arc<dyn CredentialSource>,
    /// Joined by spaces: permissions of one resource.
    pub scope: String,
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for OnBehalfOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalfOf").field("profile", self.profile.name()).finish_non_exhaustive()
    }
}

impl OnBehalfOf {
    pub(super) async fn obtain(&self, caller: For<'_>) -> Result<Obtained, NoToken> {
        let token = caller.own_token().ok_or(NoToken::NotTheirs)?;
        if !is_person_of(self.profile.tenant(), caller.principal) {
            return Err(NoToken::NotTheirs);
        }
        let budget = Budget::start(Arc::clone(&self.clock), LIMIT);
        let asked = (token, self.scope.as_str());
        let granted = self.tokens.on_behalf_of(&self.profile, asked, &*self.secrets, &budget).await;
        match granted {
            Ok((token, lasts)) => Ok(Obtained { token, lasts: lasts.saturating_sub(SKEW) }),
            Err(error) => Err(no_token(&error)),
        }
    }
}

/// The token goes to the tenant that issued it, and to no other; and only a person's can be exchanged (AADSTS7000114).
fn is_person_of(tenant: &TenantId, principal: &Principal) -> bool {
    principal.entra().is_some_and(|entra| {
        matches!(entra.object, EntraObject::User(_))
            && entra.tenant.as_str().eq_ignore_ascii_case(tenant.as_str())
    })
}

fn no_token(error: &TokenError) -> NoToken {
    tracing::warn!(
        code = %error.code(),
        detail = ?error.detail(),
        diagnostics = ?error.diagnostics(),
        "upstream.on_behalf_of_failed"
    );
    match error {
        TokenError::Secret(_) | TokenError::Assertion(_) => NoToken::NoSecret,
        TokenError::Timeout { .. } => NoToken::Slow,
        TokenError::Unavailable { .. }
        | TokenError::Unreachable(_)
        | TokenError::RateLimited { .. } => NoToken::Away,
        TokenError::BadResponse { .. } => NoToken::Unreadable,
        TokenError::PermitMismatch => NoToken::Refused,
        TokenError::Refused { detail, diagnostics } => {
            let code = diagnostics.error.as_deref();
            if wants_the_person(*detail, code) || diagnostics.claims.is_some() {
                NoToken::Interaction(diagnostics.claims.clone())
            } else if matches!(detail, Some(Detail::OboNotAllowed)) {
                NoToken::NotTheirs
            } else if code == Some("invalid_grant") {
                NoToken::GrantEnded
            } else {
                NoToken::Refused
            }
        }
    }
}

fn wants_the_person(detail: Option<Detail>, code: Option<&str>) -> bool {
    code == Some("interaction_required")
        || matches!(
            detail,
            Some(Detail::InteractionRequired | Detail::ConditionalAccess | Detail::ConsentRequired)
        )
}
