//! `device_code` (RFC 8628 §3.4): a device asks whether its person has answered.

use crate::audit::{GrantType, Reused};
use crate::authorization_server::device::{DEVICE_CLASS, NO_CHALLENGE};
use crate::authorization_server::error::OAuthError;
use crate::store::{CodeRedemption, Digest, Polled};

use super::authorization_code::{Redeeming, redeem};
use super::doubt;
use super::exchange::{DEAD, Exchange, Granted, Refused};
use super::resource;

pub(in crate::authorization_server) const NAME: &str =
    "urn:ietf:params:oauth:grant-type:device_code";

/// Every poll is counted in the store first: of several at once one gets through, the others came too early. What is
/// redeemed then is a code like any other, whose second use ends the grant.
///
/// # Errors
///
/// - `400 authorization_pending`, `slow_down`, `access_denied`, `expired_token` (RFC 8628 §3.5)
/// - `400 invalid_grant`: unknown, another client's, or used before
/// - `400 unauthorized_client`, `400 invalid_request`, `400 invalid_target`, `503`
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    let Exchange { server, client, form, .. } = exchange;
    if !client.allows_grant(NAME) {
        let refused = "the client is not registered for device_code";
        return Err(OAuthError::UnauthorizedClient(refused).into());
    }
    let digest = Digest::of(form.require("device_code", "device_code is missing")?);
    let now = server.clock.now();
    let polled = server.store.poll_device_request(&digest, client.id(), now).await?;
    if let Some(refused) = refusal(polled) {
        return Err(refused.into());
    }
    doubt::settle(server, &digest).await?;
    let code = server.store.find_code(&digest).await?.ok_or(DEAD)?;
    let grant = server.store.find_grant(code.grant_id).await?.ok_or(DEAD)?;
    let target = resource::granted(server, form, &grant.resource).await?;
    let asked = CodeRedemption {
        code: digest,
        client_id: client.id().clone(),
        redirect_uri: DEVICE_CLASS.to_owned(),
        code_challenge: NO_CHALLENGE.to_owned(),
        now,
        refresh: None,
    };
    if code.used_at.is_some() {
        let replayed = redeem(server, &asked, Reused::DeviceCode).await;
        return Err(replayed.err().unwrap_or_else(|| DEAD.into()));
    }
    let code = Redeeming { code, grant, target, asked };
    code.tokens(exchange, (GrantType::DeviceCode, Reused::DeviceCode)).await
}

const fn refusal(polled: Polled) -> Option<OAuthError> {
    let (code, description) = match polled {
        Polled::Approved => return None,
        Polled::Unknown => return Some(DEAD),
        Polled::TooEarly => ("slow_down", "wait five seconds longer between two requests"),
        Polled::Pending => ("authorization_pending", "nobody has answered yet"),
        Polled::Denied => ("access_denied", "the person refused"),
        Polled::Expired => ("expired_token", "nobody answered in time; ask for a new code"),
    };
    Some(OAuthError::Extension { code, description })
}
