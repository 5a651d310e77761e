//! A newer version changes the schema while others serve.

use mcp_auth_broker::store::{Digest, Rotated, StoreSettings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::task::JoinSet;

use super::Place;
use super::copy::tamper;
use super::rows::{rotation, user, with_refresh_token};

/// Takes back every step of the schema from 19 on.
pub(super) const BACK: &str = "DROP INDEX revocations_ending; DROP INDEX grants_resource; DROP INDEX consents_client; \
    DROP INDEX consents_resource; ALTER TABLE revocations DROP COLUMN ending; \
    ALTER TABLE revocations DROP COLUMN ended_before; ALTER TABLE revocations DROP COLUMN ending_reason; \
    ALTER TABLE users DROP COLUMN passkey_login; \
    ALTER TABLE users DROP COLUMN has_roles; ALTER TABLE users DROP COLUMN roles_incomplete; \
    DROP TABLE provider_tokens; ALTER TABLE identities DROP COLUMN logged_in_at; DELETE FROM schema_versions WHERE version >= 19;";

/// What statements give of these is of another type from here on, so each is refused where it was prepared before.
const CHANGED: &str = "ALTER TABLE users ALTER COLUMN username TYPE VARCHAR(300); \
    ALTER TABLE grants ALTER COLUMN resource TYPE VARCHAR(300);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_while_the_schema_changes_goes_on_with_reads_and_commands() {
    let place = Place::postgres();
    let store = place.open().await;
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    with_refresh_token(&store, "r0").await;
    // Often, so that each connection of the pool has prepared them, and will again be asked.
    for round in 0..40 {
        if round == 20 {
            tamper(&place, CHANGED).await;
        }
        let found = store.find_user(ada.id).await.unwrap().unwrap();
        assert_eq!(found.username, "ada", "{round}");
        let (old, new) = (format!("r{round}"), format!("r{}", round + 1));
        assert!(store.find_refresh_token(&Digest::of(&old)).await.unwrap().is_some(), "{round}");
        let rotated = store.rotate_refresh_token(&rotation(&old, &new, 2)).await.unwrap();
        assert!(matches!(rotated, Rotated::Granted { .. }), "{round}: {rotated:?}");
    }
}

fn options(place: &Place) -> PgConnectOptions {
    let StoreSettings::Postgres(url) = &place.settings else { unreachable!() };
    url.expose().parse().unwrap()
}

/// As versions up to schema 18 ask for somebody.
async fn as_before(pool: &PgPool) -> Result<usize, sqlx::Error> {
    let found = sqlx::query("SELECT * FROM users WHERE id = $1").bind("nobody").fetch_all(pool);
    found.await.map(|rows| rows.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_older_programs_end_with_a_migration_and_others_do_not() {
    let place = Place::postgres();
    drop(place.open().await);
    tamper(&place, BACK).await;
    let older = PgPoolOptions::new().max_connections(1);
    let older = older.connect_with(options(&place).application_name("mcp-auth-broker"));
    let older = older.await.unwrap();
    let another = options(&place).application_name("psql");
    let mut another = PgConnection::connect_with(&another).await.unwrap();
    assert_eq!(as_before(&older).await.unwrap(), 0);
    drop(place.open().await);
    assert_eq!(as_before(&older).await.unwrap(), 0, "on a connection made since then");
    another.ping().await.unwrap();
}

/// One at work is not cut off, but when it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_an_older_program_is_let_finish() {
    let place = Place::postgres();
    drop(place.open().await);
    tamper(&place, BACK).await;
    let options = options(&place).application_name("mcp-auth-broker");
    let mut at_work = PgConnection::connect_with(&options).await.unwrap();
    let mut transaction = at_work.begin().await.unwrap();
    // No step changes this table, so the migration does not wait for who reads it.
    let steps = "SELECT COUNT(*) FROM schema_versions WHERE version >= 19";
    sqlx::query(steps).execute(&mut *transaction).await.unwrap();
    let mut opening = JoinSet::new();
    let settings = place.settings.clone();
    opening.spawn(async move { Place { settings, _folder: None }.open().await });
    loop {
        let (taken,): (i64,) = sqlx::query_as(steps).fetch_one(&mut *transaction).await.unwrap();
        if taken > 0 {
            break;
        }
    }
    transaction.commit().await.unwrap();
    opening.join_next().await.unwrap().unwrap();
    assert!(at_work.ping().await.is_err(), "ended when it was done");
}

/// Where a statement is as long as those of requests at most.
const HURRIED: &str = "CREATE FUNCTION hurried() RETURNS event_trigger LANGUAGE plpgsql AS \
    $$BEGIN IF current_setting('statement_timeout')::interval < '5 minutes' THEN RAISE query_canceled; END IF; END$$;
    CREATE EVENT TRIGGER hurried ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION hurried()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_may_take_longer_than_a_request() {
    let place = Place::postgres();
    drop(place.open().await);
    tamper(&place, BACK).await;
    tamper(&place, HURRIED).await;
    drop(place.open().await);
}
