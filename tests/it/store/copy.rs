//! A store moves to another database.

use std::path::PathBuf;
use std::sync::Arc;

use mcp_auth_broker::store::{
    ClientKind, Copied, CopyError, CopyProgress, CopyStep, Existing, MaintainError, OpenError,
    StoreSettings, backup, copy, look, open, restore, status,
};
use mcp_auth_broker::time::FixedClock;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::rows::client;
use super::{NOW, Place};

fn path(place: &Place) -> PathBuf {
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    path.clone()
}

/// Statements that nobody asked the broker for.
pub(super) async fn tamper(place: &Place, sql: &str) {
    match &place.settings {
        StoreSettings::Sqlite(path) => {
            let file = rusqlite::Connection::open(path).unwrap();
            file.execute_batch(sql).unwrap();
            file.close().unwrap();
        }
        StoreSettings::Postgres(url) => {
            let mut server = sqlx::PgConnection::connect(url.expose()).await.unwrap();
            server.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
            server.close().await.unwrap();
        }
    }
}

async fn run(from: &Place, to: &Place) -> Result<Copied, CopyError> {
    copy(&from.settings, &to.settings, &mut |_| {}).await
}

/// The connections of a dropped store close in threads of their own.
async fn when_closed(from: &Place, to: &Place) -> Result<Copied, CopyError> {
    loop {
        match run(from, to).await {
            Err(CopyError::InUse) => tokio::task::yield_now().await,
            done => return done,
        }
    }
}

/// Rows with every type of value, text that two databases might order differently, and more than a batch of one table.
pub(super) async fn filled(place: &Place) {
    let store = place.open().await;
    for id in ["b", "B", "a-1", "a.1", "ä"] {
        assert!(store.add_client(&client(id, ClientKind::Static)).await.unwrap());
    }
    drop(store);
    let many = match place.settings {
        StoreSettings::Sqlite(_) => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"
        }
        StoreSettings::Postgres(_) => "WITH n(i) AS (SELECT generate_series(1, 12000))",
    };
    let bytes = |text: &str| match place.settings {
        StoreSettings::Sqlite(_) => format!("CAST('{text}' AS BLOB)"),
        StoreSettings::Postgres(_) => format!("convert_to('{text}', 'UTF8')"),
    };
    let cell = bytes("sealed with the old key");
    tamper(
        place,
        &format!(
            "INSERT INTO signing_keys (kid, algorithm, public_jwk, private, state, created_at, not_before) \
             VALUES ('k', 'ES256', '{{}}', {cell}, 'usable', 1, 2);
             INSERT INTO revocations (grant_id, jti, expires_at) \
             VALUES ('0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b', NULL, 4102444800000), (NULL, 'j', 4102444800000);
             {many} INSERT INTO login_failures (attempt_key, failures, last_failure_at) \
             SELECT 'account|' || i, i, 1800000000000 FROM n;"
        ),
    )
    .await;
}

fn rows(copied: &Copied, name: &str) -> u64 {
    copied.tables.iter().find(|table| table.name == name).unwrap().rows
}

async fn has_client(place: &Place, id: &str) -> bool {
    let store = place.open().await;
    store.find_client(&id.parse().unwrap()).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_postgresql_and_back_and_is_the_same() {
    let (lite, gres, back) = (Place::sqlite(), Place::postgres(), Place::sqlite());
    filled(&lite).await;
    let there = when_closed(&lite, &gres).await.unwrap();
    assert_eq!((rows(&there, "clients"), rows(&there, "login_failures")), (5, 12000));
    assert_eq!((rows(&there, "revocations"), there.resumed_rows), (2, 0));
    let again = when_closed(&gres, &back).await.unwrap();
    let digests = |copied: &Copied| -> Vec<_> {
        copied.tables.iter().map(|table| (table.name.clone(), table.sha256.clone())).collect()
    };
    assert_eq!(digests(&there), digests(&again), "the same in three places");
    assert!(has_client(&back, "ä").await && has_client(&gres, "a.1").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_go_on_with_the_next_number() {
    let (lite, gres) = (Place::sqlite(), Place::postgres());
    filled(&lite).await;
    when_closed(&lite, &gres).await.unwrap();
    tamper(&gres, "INSERT INTO revocations (grant_id, expires_at) VALUES ('new', 4102444800000)")
        .await;
    let StoreSettings::Postgres(url) = &gres.settings else { unreachable!() };
    let mut server = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let last: i64 = sqlx::query_scalar("SELECT sequence FROM revocations WHERE grant_id = 'new'")
        .fetch_one(&mut server)
        .await
        .unwrap();
    assert_eq!(last, 3);
}

/// A database that takes no more rows after a certain one, as a full disk would.
const FULL: &str = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
    $$BEGIN IF NEW.attempt_key = 'account|7777' THEN RAISE disk_full; END IF; RETURN NEW; END$$;
    CREATE TRIGGER full_disk BEFORE INSERT ON login_failures FOR EACH ROW EXECUTE FUNCTION full_disk()";

/// A copy that was cut off in the middle of a table.
async fn cut_off() -> (Place, Place) {
    let (lite, gres) = (Place::sqlite(), Place::postgres());
    filled(&lite).await;
    drop(gres.open().await);
    tamper(&gres, FULL).await;
    let error = when_closed(&lite, &gres).await.unwrap_err();
    assert!(
        matches!(&error, CopyError::Write { table, .. } if table == "login_failures"),
        "{error}"
    );
    tamper(&gres, "DROP FUNCTION full_disk CASCADE").await;
    (lite, gres)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_off_goes_on_where_it_was_and_serves_nobody_before() {
    let (lite, gres) = cut_off().await;
    let refused = open(&gres.settings, Arc::new(FixedClock::at(NOW))).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unfinished), "{refused}");
    let mut first = None;
    let mut watch = |progress: CopyProgress<'_>| {
        if progress.table == "login_failures" && progress.step == CopyStep::Copying {
            first.get_or_insert(progress.done);
        }
    };
    let copied = copy(&lite.settings, &gres.settings, &mut watch).await.unwrap();
    assert!(copied.resumed_rows >= 5000, "whole batches stay: {}", copied.resumed_rows);
    assert!(first.unwrap() >= 5000, "{first:?}");
    assert_eq!(rows(&copied, "login_failures"), 12000);
    assert!(has_client(&gres, "B").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_off_is_called_a_store_by_nobody() {
    let (_lite, gres) = cut_off().await;
    let lite = Place::sqlite();
    drop(lite.open().await);
    tamper(&lite, "CREATE TABLE copy_in_progress (source BLOB NOT NULL)").await;
    for place in [&lite, &gres] {
        let looked = look(&place.settings, Arc::new(FixedClock::at(NOW))).await.unwrap_err();
        assert!(matches!(looked, OpenError::Unfinished), "{looked}");
        let told = status(&place.settings).await.unwrap_err();
        assert!(matches!(told, MaintainError::Open(OpenError::Unfinished)), "{told}");
    }
    let to = path(&lite).with_file_name("backup.db");
    let error = backup(&lite.settings, &to).await.unwrap_err();
    assert!(matches!(error, MaintainError::Open(OpenError::Unfinished)) && !to.exists(), "{error}");
    let other = Place::sqlite();
    drop(other.open().await);
    let error = restore(&other.settings, &path(&lite), (Existing::Refuse, NOW)).await.unwrap_err();
    assert!(matches!(error, MaintainError::Open(OpenError::Unfinished)), "{error}");
}

#[tokio::test]
async fn what_holds_no_store_or_is_the_same_or_cannot_be_written_is_told_for_what_it_is() {
    let (empty, to) = (Place::postgres(), Place::sqlite());
    let error = run(&empty, &to).await.unwrap_err();
    assert!(matches!(error, CopyError::NotAStore) && !path(&to).exists(), "{error}");
    let foreign = Place::sqlite();
    std::fs::create_dir(path(&foreign).parent().unwrap()).unwrap();
    rusqlite::Connection::open(path(&foreign))
        .unwrap()
        .execute_batch("CREATE TABLE t (i)")
        .unwrap();
    let error = run(&foreign, &to).await.unwrap_err();
    assert!(matches!(error, CopyError::NotAStore), "{error}");
    for place in [&foreign, &empty] {
        let error = run(place, place).await.unwrap_err();
        assert!(matches!(error, CopyError::Same), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_changed_meanwhile_is_noticed_and_the_store_stays_closed() {
    for change in [
        "UPDATE clients SET disabled_at = NULL, metadata = '{}' WHERE id = 'b'",
        "DELETE FROM clients WHERE id = 'B'",
        "INSERT INTO clients (id, kind, metadata, metadata_digest, created_at, last_used_at) \
         VALUES ('evil', 'static', '{}', '', 1, 1)",
    ] {
        let (lite, gres) = cut_off().await;
        tamper(&gres, change).await;
        let error = run(&lite, &gres).await.unwrap_err();
        assert!(
            matches!(&error, CopyError::Differs { table, .. } if table == "clients"),
            "{error}"
        );
        let refused = open(&gres.settings, Arc::new(FixedClock::at(NOW))).await.unwrap_err();
        assert!(matches!(refused, OpenError::Unfinished), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_holds_something_else_is_left_alone() {
    let lite = Place::sqlite();
    filled(&lite).await;
    let (used, foreign) = (Place::postgres(), Place::postgres());
    let store = used.open().await;
    store.add_client(&client("theirs", ClientKind::Static)).await.unwrap();
    drop(store);
    tamper(&foreign, "CREATE TABLE invoices (id BIGINT)").await;
    for (to, table) in [(&used, "clients"), (&foreign, "invoices")] {
        let error = when_closed(&lite, to).await.unwrap_err();
        assert!(
            matches!(&error, CopyError::NotEmpty { table: found } if found == table),
            "{error}"
        );
    }
    assert!(has_client(&used, "theirs").await && !has_client(&used, "b").await);
    tamper(&foreign, "SELECT id FROM invoices").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_cut_off_takes_nothing_from_another_store() {
    let (_lite, gres) = cut_off().await;
    let other = Place::sqlite();
    drop(other.open().await);
    let error = when_closed(&other, &gres).await.unwrap_err();
    assert!(matches!(error, CopyError::OtherSource), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_a_broker_has_open_is_not_copied() {
    for from in [Place::sqlite(), Place::postgres()] {
        let store = from.open().await;
        store.add_client(&client("a", ClientKind::Static)).await.unwrap();
        let to = Place::sqlite();
        let error = run(&from, &to).await.unwrap_err();
        assert!(matches!(error, CopyError::InUse), "{error}");
        assert!(!path(&to).exists(), "nothing was begun");
        assert!(store.find_client(&"a".parse().unwrap()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_old_schema_a_newer_one_and_no_store_at_all_are_told_apart() {
    let (place, to) = (Place::sqlite(), Place::sqlite());
    let missing = run(&place, &to).await.unwrap_err();
    assert!(matches!(missing, CopyError::NoSource { .. }), "{missing}");
    drop(place.open().await);
    tamper(&place, "INSERT INTO schema_versions (version, digest) VALUES (99, zeroblob(32))").await;
    let newer = when_closed(&place, &to).await.unwrap_err();
    assert!(matches!(newer, CopyError::From(OpenError::Newer { found: 99, .. })), "{newer}");
    tamper(&place, "DELETE FROM schema_versions WHERE version > 1").await;
    let old = when_closed(&place, &to).await.unwrap_err();
    assert!(matches!(old, CopyError::Old { found: 1, .. }), "{old}");
    assert!(old.to_string().contains("hint: ") && !path(&to).exists());
}
