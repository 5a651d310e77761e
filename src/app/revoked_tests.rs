//! What has ended, of tokens that were made from others.

use std::sync::Arc;

use serde_json::json;

use crate::id::GrantId;
use crate::random::SystemRandom;
use crate::store::{StoreSettings, open};
use crate::time::{FixedClock, Timestamp};

use super::revoked::Revoked;

// RFC 8693 §5
#[tokio::test]
async fn what_was_made_from_a_token_ends_with_all_that_its_client_or_its_audience_was_given() {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let clock = Arc::new(FixedClock::at(now));
    let id = GrantId::at(now, &SystemRandom::new());
    let user = "01930000-0000-7000-8000-000000000001";
    let from =
        |resource: &str| json!([{ "jti": "j", "client_id": "app", "iat": 1, "aud": resource }]);
    for (line, ended) in [
        ("resource:https://a.example/mcp".to_owned(), true),
        (format!("user:{user} client:app"), true),
        (format!("user:{user} client:gateway"), false),
        ("resource:https://b.example/mcp".to_owned(), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        let settings = StoreSettings::Sqlite(file.clone());
        drop(open(&settings, clock.clone()).await.unwrap());
        let (before, until) = (now.plus_seconds(1), now.plus_seconds(86_400));
        let line = rusqlite::Connection::open(&file).unwrap().execute(
            "INSERT INTO revocations (ending, ended_before, ending_reason, expires_at) VALUES (?1, ?2, 'person', ?3)",
            (&line, before.unix_millis(), until.unix_millis()),
        );
        assert_eq!(line.unwrap(), 1);
        let store = open(&settings, clock.clone()).await.unwrap();
        let issuer = "https://broker.example".parse().unwrap();
        let revoked = Revoked { store, issuer };
        let whose = (Some(id), Some(user));
        let found = revoked.is_any_revoked(&from("https://a.example/mcp"), whose);
        assert_eq!(found, ended);
        let older = json!([{ "jti": "j", "client_id": "app", "iat": 1 }]);
        assert!(!revoked.is_any_revoked(&older, whose), "of a version that does not say it");
    }
}
