//! Rows to begin with.

use mcp_auth_broker::id::{ClientId, GrantId, UserId};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{
    ClientKind, ClientRow, CodeRedemption, CodeRow, Digest, GrantRow, LoginOrigin, NewRefreshToken,
    NoticeClaim, OwnLogin, RefreshRotation, SessionRow, UserRow,
};
use mcp_auth_broker::time::FixedClock;

use super::{NOW, Store, after};

pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const REDIRECT: &str = "https://client.example/callback";

pub(crate) fn client_id() -> ClientId {
    "client-1".parse().unwrap()
}

pub(crate) fn grant_id() -> GrantId {
    GrantId::generate(&FixedClock::at(NOW), &SystemRandom::new())
}

pub(crate) fn user_id() -> UserId {
    UserId::generate(&FixedClock::at(NOW), &SystemRandom::new())
}

pub(crate) fn grant() -> GrantRow {
    GrantRow {
        id: grant_id(),
        user_id: Some(user_id()),
        client_id: client_id(),
        scopes: "graph:read openid".parse().unwrap(),
        resource: "https://broker.example/mcp".to_owned(),
        redirect_origin: Some("https://client.example".to_owned()),
        client_digest: Some(Digest::of("document")),
        auth_time: Some(after(-60)),
        login: LoginOrigin::default(),
        extra: None,
        created_at: NOW,
        last_used_at: NOW,
        expires_at: after(86_400),
        revoked_at: None,
        revoke_reason: None,
    }
}

pub(crate) fn code(grant: &GrantRow, code: &str) -> CodeRow {
    CodeRow {
        code: Digest::of(code),
        grant_id: grant.id,
        client_id: grant.client_id.clone(),
        redirect_uri: REDIRECT.to_owned(),
        code_challenge: CHALLENGE.to_owned(),
        nonce: Some("n-0S6".to_owned()),
        dpop_jkt: None,
        scopes: grant.scopes.clone(),
        expires_at: after(60),
        used_at: None,
    }
}

pub(crate) fn redemption(code: &str, refresh: Option<&str>) -> CodeRedemption {
    CodeRedemption {
        code: Digest::of(code),
        client_id: client_id(),
        redirect_uri: REDIRECT.to_owned(),
        code_challenge: CHALLENGE.to_owned(),
        now: after(1),
        refresh: refresh.map(refresh_token),
    }
}

pub(crate) fn refresh_token(token: &str) -> NewRefreshToken {
    NewRefreshToken {
        token: Digest::of(token),
        scopes: "graph:read".parse().unwrap(),
        dpop_jkt: None,
        expires_at: after(3_600),
    }
}

pub(crate) fn session(value: &str, user: UserId) -> SessionRow {
    SessionRow {
        session: Digest::of(value),
        user_id: Some(user),
        auth_time: Some(NOW),
        method: Some("pwd".to_owned()),
        login: LoginOrigin::default(),
        pending: None,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: after(3_600),
    }
}

/// For half a minute.
pub(crate) fn claim(at: i64) -> NoticeClaim {
    NoticeClaim { now: after(at), until: after(at + 30), limit: 10, each: 10, but: Vec::new() }
}

/// Somebody allows it, in a session that has ended since.
pub(crate) async fn allow(store: &Store, grant: &GrantRow, code: &CodeRow) {
    let session = session(&grant.id.to_string(), user_id());
    store.add_session(&session).await.unwrap();
    assert!(store.add_grant_with_code(&session.session, grant, code, None).await.unwrap());
    assert!(store.end_session(&session.session).await.unwrap());
}

/// A grant whose refresh token is `token`.
pub(crate) async fn with_refresh_token(store: &Store, token: &str) -> GrantRow {
    let grant = grant();
    let first = format!("code of {token}");
    allow(store, &grant, &code(&grant, &first)).await;
    store.redeem_code(&redemption(&first, Some(token))).await.unwrap();
    grant
}

pub(crate) fn rotation(presented: &str, successor: &str, at: i64) -> RefreshRotation {
    RefreshRotation {
        presented: Digest::of(presented),
        client_id: client_id(),
        successor: refresh_token(successor),
        sealed_reply: format!("sealed {successor}").into_bytes(),
        replay_until: after(at + 60),
        now: after(at),
    }
}

pub(crate) fn client(id: &str, kind: ClientKind) -> ClientRow {
    ClientRow {
        id: id.parse().unwrap(),
        kind,
        metadata: r#"{"redirect_uris":["https://client.example/callback"]}"#.to_owned(),
        metadata_digest: Digest::of(id),
        secret: None,
        previous_secret: None,
        registration_token: None,
        created_at: NOW,
        last_used_at: NOW,
        expires_at: None,
        disabled_at: None,
    }
}

pub(crate) fn user(name: &str) -> UserRow {
    UserRow {
        id: user_id(),
        username: name.to_owned(),
        display_name: Some("Ada".to_owned()),
        email: None,
        own_login: OwnLogin::Nothing,
        administrator: false,
        groups: vec!["staff".to_owned()],
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
        created_at: NOW,
        last_login_at: None,
        disabled_at: None,
    }
}
