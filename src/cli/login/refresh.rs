//! A token without asking anybody: by the refresh token of an earlier log-in (RFC 6749 §6), and giving that up (RFC 7009).

use std::io::Write;
use std::path::Path;

use url::Url;

use crate::cli::failure::Failure;
use crate::outbound::{Answer, Call, Outbound};

use super::kept::{Identity, Kept, Place};
use super::{LIMITS, Metadata, code_of, refused, send};

/// What became of the log-in that is kept.
pub(super) enum Renewed {
    /// New tokens; the refresh token among them is kept.
    Tokens(Answer),
    /// None is kept, or it is over: somebody has to log in.
    LogIn,
}

/// # Errors
///
/// The broker did not answer, or what is kept cannot be read. Then the log-in is kept as it is.
pub(super) async fn renew(
    outbound: &Outbound,
    metadata: &Metadata,
    (folder, identity): (&Path, &Identity),
    err: &mut dyn Write,
) -> Result<Renewed, Failure> {
    let place = Place::open(folder, identity)?;
    let Some(kept) = place.read()? else { return Ok(Renewed::LogIn) };
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", identity.client_id.as_str()),
        ("refresh_token", kept.refresh_token.as_str()),
        ("resource", identity.resource.as_str()),
    ];
    let answer = send(outbound, Call::post_form(metadata.token_endpoint.clone(), &fields)).await?;
    if answer.status.is_success() {
        if let Err(failure) = keep(&place, &answer) {
            let _ = writeln!(err, "{failure}"); // the token is there all the same
        }
        return Ok(Renewed::Tokens(answer));
    }
    match code_of(&answer).as_deref() {
        Some("invalid_grant") => {
            place.remove()?;
            Ok(Renewed::LogIn)
        }
        Some("invalid_client" | "unauthorized_client" | "invalid_target" | "invalid_scope") => {
            Ok(Renewed::LogIn)
        }
        _ => Err(refused(&answer)),
    }
}

/// Keeps the refresh token of an answer that has one. An answer without one leaves what is there (RFC 6749 §6).
pub(super) fn keep(place: &Place, answer: &Answer) -> Result<bool, Failure> {
    match serde_json::from_slice::<Refreshing>(&answer.body) {
        Ok(Refreshing { refresh_token: Some(token) }) => place.write(&token).map(|()| true),
        _ => Ok(false),
    }
}

#[derive(serde::Deserialize)]
struct Refreshing {
    refresh_token: Option<zeroize::Zeroizing<String>>,
}

/// Revokes what is kept and removes it. Whether there was anything.
///
/// # Errors
///
/// The broker did not take it: it is kept, for a token that nobody can revoke any more would go on.
pub(super) async fn forget(
    outbound: &Outbound,
    metadata: &Metadata,
    (folder, identity): (&Path, &Identity),
) -> Result<bool, Failure> {
    let place = Place::open(folder, identity)?;
    let Some(kept) = place.read()? else { return Ok(false) };
    revoke(outbound, metadata, (identity, &kept)).await?;
    place.remove()?;
    Ok(true)
}

/// RFC 7009 §2.2: also a token that is over already is answered with 200.
async fn revoke(
    outbound: &Outbound,
    metadata: &Metadata,
    (identity, kept): (&Identity, &Kept),
) -> Result<(), Failure> {
    let endpoint: Url = metadata.revocation_endpoint.clone().ok_or_else(|| {
        Failure::new("the broker revokes no tokens")
            .hint("withdraw what this terminal was allowed on its page /account")
    })?;
    let fields = [
        ("client_id", identity.client_id.as_str()),
        ("token", kept.refresh_token.as_str()),
        ("token_type_hint", "refresh_token"),
    ];
    let sent = outbound.send(Call::post_form(endpoint, &fields), LIMITS).await;
    let kept = "it is kept: try again when the broker answers, or revoke it on its page /account";
    match sent {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(refused(&answer).hint(kept)),
        Err(error) => Err(Failure::of(&error).hint(kept)),
    }
}
