//! Backup and restore of a store in PostgreSQL.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mcp_auth_broker::store::{
    ClientKind, Existing, MaintainError, OpenError, Restored, StoreSettings, backup, restore,
    status,
};
use sqlx::Connection as _;

use super::copy::{filled, tamper};
use super::rows::client;
use super::{NOW, Place, Store};

/// Where a test keeps its backups.
struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let found = std::fs::read_dir(self.0.path()).unwrap();
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The connections of a dropped store close in a task of their own.
async fn when_closed(
    place: &Place,
    file: &Path,
    existing: Existing,
) -> Result<Restored, MaintainError> {
    loop {
        match restore(&place.settings, file, (existing, NOW)).await {
            Err(MaintainError::InUse) => tokio::task::yield_now().await,
            done => return done,
        }
    }
}

async fn has(place: &Place, id: &str) -> bool {
    let store = place.open().await;
    store.find_client(&id.parse().unwrap()).await.unwrap().is_some()
}

async fn add(store: &Store, id: &str) {
    assert!(store.add_client(&client(id, ClientKind::Static)).await.unwrap());
}

/// One number that a statement gives.
async fn number(place: &Place, sql: &'static str) -> i64 {
    let StoreSettings::Postgres(url) = &place.settings else { unreachable!() };
    let mut server = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let found = sqlx::query_scalar(sql).fetch_one(&mut server).await.unwrap();
    server.close().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_back_into_an_empty_database_of_either_kind() {
    let (from, shelf) = (Place::postgres(), Shelf::new());
    filled(&from).await;
    let file = shelf.at("backup.db");
    assert_eq!(backup(&from.settings, &file).await.unwrap(), file.metadata().unwrap().len());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(shelf.names(), ["backup.db"]);
    let (gres, lite) = (Place::postgres(), Place::sqlite());
    for to in [&gres, &lite] {
        let restored = when_closed(to, &file, Existing::Refuse).await.unwrap();
        assert_eq!(restored, Restored { previous: None, previous_schema: None });
        let found = status(&to.settings).await.unwrap();
        // As scripts/tools/postgres starts it, but for what is kept for its administrators.
        let room = matches!(to.settings, StoreSettings::Postgres(_)).then_some((297, 16));
        assert_eq!(found.connections.map(|room| (room.allowed, room.each)), room);
        let tables = found.tables;
        let rows = |name| tables.iter().find(|table| table.name == name).unwrap().rows;
        assert_eq!((rows("clients"), rows("login_failures"), rows("revocations")), (5, 12000, 2));
        assert!(has(to, "ä").await);
    }
    tamper(&gres, "INSERT INTO revocations (grant_id, expires_at) VALUES ('n', 4102444800000)")
        .await;
    assert_eq!(number(&gres, "SELECT MAX(sequence) FROM revocations").await, 3, "it counts on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_busy_store_is_one_moment_of_it() {
    let (place, shelf) = (Place::postgres(), Shelf::new());
    let store = place.open().await;
    let file = shelf.at("backup.db");
    let writing = async {
        for number in 0..200 {
            let user = format!("u{number:03}");
            add(&store, &user).await;
            tamper(&place, &format!("INSERT INTO login_failures (attempt_key, failures, last_failure_at) VALUES ('{user}', 1, 1)"))
                .await;
        }
    };
    let ((), made) = tokio::join!(writing, backup(&place.settings, &file));
    made.unwrap();
    let tables = status(&StoreSettings::Sqlite(file)).await.unwrap().tables;
    let rows = |name| tables.iter().find(|table| table.name == name).unwrap().rows;
    // Clients are read first and written first.
    assert!(rows("clients") - rows("login_failures") <= 1, "{tables:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_there_is_replaced_only_when_that_is_said_and_is_kept() {
    let (place, shelf) = (Place::postgres(), Shelf::new());
    let store = place.open().await;
    add(&store, "before").await;
    let file = shelf.at("backup.db");
    backup(&place.settings, &file).await.unwrap();
    add(&store, "after").await;
    drop(store);
    tamper(&place, "CREATE TABLE invoices (id BIGINT)").await;
    let refused = when_closed(&place, &file, Existing::Refuse).await.unwrap_err();
    assert!(
        matches!(&refused, MaintainError::Occupied { table } if table == "clients"),
        "{refused}"
    );
    assert!(has(&place, "after").await);
    let restored = when_closed(&place, &file, Existing::PutAside).await.unwrap();
    assert_eq!(restored.previous_schema.as_deref(), Some("before_restore_1800000000"));
    assert!(has(&place, "before").await && !has(&place, "after").await);
    let kept = "SELECT COUNT(*) FROM before_restore_1800000000.clients WHERE id = 'after'";
    assert_eq!(number(&place, kept).await, 1);
    tamper(&place, "SELECT id FROM public.invoices").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_broker_uses_or_that_is_anothers_is_left_alone() {
    let (place, shelf) = (Place::postgres(), Shelf::new());
    let store = place.open().await;
    add(&store, "a").await;
    let file = shelf.at("backup.db");
    backup(&place.settings, &file).await.unwrap();
    let busy = restore(&place.settings, &file, (Existing::PutAside, NOW)).await.unwrap_err();
    assert!(matches!(busy, MaintainError::InUse), "{busy}");
    add(&store, "b").await;
    let foreign = Place::postgres();
    tamper(&foreign, "CREATE TABLE invoices (id BIGINT)").await;
    let error = restore(&foreign.settings, &file, (Existing::PutAside, NOW)).await.unwrap_err();
    assert!(matches!(&error, MaintainError::NotEmpty { table } if table == "invoices"), "{error}");
}

/// The database takes no more after a certain row, as a full disk would.
const FULL: &str = "CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS \
    $$BEGIN IF EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = 'device_requests') \
    AND EXISTS (SELECT 1 FROM pg_namespace WHERE nspname LIKE 'before_restore%') THEN RAISE disk_full; END IF; END$$;
    CREATE EVENT TRIGGER full_disk ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION full_disk()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_half_way_leaves_what_was_there() {
    let (place, shelf) = (Place::postgres(), Shelf::new());
    filled(&place).await;
    let file = shelf.at("backup.db");
    backup(&place.settings, &file).await.unwrap();
    tamper(&place, "DELETE FROM clients WHERE id = 'B'").await;
    tamper(&place, FULL).await;
    let error = when_closed(&place, &file, Existing::PutAside).await.unwrap_err();
    assert!(matches!(error, MaintainError::Open(_) | MaintainError::Store(_)), "{error}");
    tamper(&place, "DROP EVENT TRIGGER full_disk").await;
    assert!(has(&place, "b").await && !has(&place, "B").await);
    let schemas = "SELECT COUNT(*) FROM pg_namespace WHERE nspname LIKE 'before_restore%'";
    assert_eq!(number(&place, schemas).await, 0);
    when_closed(&place, &file, Existing::PutAside).await.unwrap();
    assert!(has(&place, "B").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_backup_or_of_a_newer_version_changes_nothing() {
    let (from, shelf) = (Place::sqlite(), Shelf::new());
    drop(from.open().await);
    let newer = shelf.at("newer.db");
    backup(&from.settings, &newer).await.unwrap();
    let copy = StoreSettings::Sqlite(newer.clone());
    let changed = Place { settings: copy, _folder: None };
    tamper(&changed, "INSERT INTO schema_versions (version, digest) VALUES (99, zeroblob(32))")
        .await;
    std::fs::write(shelf.at("text"), "hello").unwrap();
    let to = Place::postgres();
    let error = restore(&to.settings, &newer, (Existing::PutAside, NOW)).await.unwrap_err();
    assert!(matches!(error, MaintainError::Open(OpenError::Newer { found: 99, .. })), "{error}");
    let error =
        restore(&to.settings, &shelf.at("text"), (Existing::PutAside, NOW)).await.unwrap_err();
    assert!(matches!(error, MaintainError::NotABackup { .. }), "{error}");
    assert!(status(&to.settings).await.is_err(), "no table was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_fails_leaves_no_file_and_names_no_password() {
    let (empty, shelf) = (Place::postgres(), Shelf::new());
    let error = backup(&empty.settings, &shelf.at("a.db")).await.unwrap_err();
    assert!(matches!(error, MaintainError::NoStore), "{error}");
    let nowhere =
        StoreSettings::Postgres("postgres://u:pgpassw0rd@127.0.0.1:1/d".to_owned().into());
    let error = backup(&nowhere, &shelf.at("b.db")).await.unwrap_err();
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("pgpassw0rd") && shown.contains("hint:"), "{shown}");
    assert_eq!(shelf.names(), [""; 0]);
    std::fs::write(shelf.at("mine"), "mine").unwrap();
    let error = backup(&empty.settings, &shelf.at("mine")).await.unwrap_err();
    assert!(matches!(error, MaintainError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(shelf.at("mine")).unwrap(), "mine");
}

/// What is backed up before an upgrade is restored as it was, and brought up to date by the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_an_older_schema_is_backed_up_and_restored_as_it_is() {
    let (old, shelf, to) = (Place::postgres(), Shelf::new(), Place::postgres());
    for step in [include_str!("../../../src/store/schema/0001.sql")] {
        let versions = "CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, organisation TEXT NOT NULL \
            DEFAULT 'default', digest BYTEA NOT NULL);";
        let hash = mcp_auth_broker::store::Digest::of(step);
        let hex =
            hash.as_bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let step = step.replace(" BLOB", " BYTEA");
        let step = step.replace(" SEQUENCE,", " BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,");
        let record =
            format!("INSERT INTO schema_versions (version, digest) VALUES (1, '\\x{hex}');");
        tamper(&old, &[versions, &step, ";", &record].concat()).await;
    }
    let row =
        "INSERT INTO login_failures (attempt_key, failures, last_failure_at) VALUES ('k', 1, 1)";
    tamper(&old, row).await;
    let file = shelf.at("old.db");
    backup(&old.settings, &file).await.unwrap();
    when_closed(&to, &file, Existing::Refuse).await.unwrap();
    assert_eq!(status(&to.settings).await.unwrap().schema, 1);
    drop(to.open().await);
    assert!(status(&to.settings).await.unwrap().schema > 1);
    assert_eq!(number(&to, "SELECT COUNT(*) FROM login_failures").await, 1);
}
