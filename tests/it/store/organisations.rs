//! Several organisations can share a store one day without a rewrite: each row says whose it is.

use std::collections::BTreeSet;

use mcp_auth_broker::store::StoreSettings;
use sqlx::Connection as _;

use super::Place;

/// Every table, and those with a column for the organisation that is never empty.
async fn tables(place: &Place) -> [BTreeSet<String>; 2] {
    drop(place.open().await);
    match &place.settings {
        StoreSettings::Sqlite(file) => of_a_file(&rusqlite::Connection::open(file).unwrap()),
        StoreSettings::Postgres(url) => of_a_server(url.expose()).await,
    }
}

fn of_a_file(store: &rusqlite::Connection) -> [BTreeSet<String>; 2] {
    const ALL: &str = "SELECT name FROM sqlite_master WHERE type = 'table'";
    const MARKED: &str = "SELECT t.name FROM sqlite_master t JOIN pragma_table_info(t.name) c \
        WHERE t.type = 'table' AND c.name = 'organisation' AND c.\"notnull\" = 1";
    [ALL, MARKED].map(|sql| {
        let mut statement = store.prepare(sql).unwrap();
        let names = statement.query_map((), |row| row.get::<_, String>(0)).unwrap();
        names.map(Result::unwrap).filter(|name| !name.starts_with("sqlite_")).collect()
    })
}

async fn of_a_server(url: &str) -> [BTreeSet<String>; 2] {
    const ALL: &str = "SELECT table_name::text FROM information_schema.tables \
        WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'";
    const MARKED: &str = "SELECT table_name::text FROM information_schema.columns \
        WHERE table_schema = current_schema() AND column_name = 'organisation' AND is_nullable = 'NO'";
    let mut server = sqlx::PgConnection::connect(url).await.unwrap();
    let all = sqlx::query_scalar(ALL).fetch_all(&mut server).await.unwrap();
    let marked = sqlx::query_scalar(MARKED).fetch_all(&mut server).await.unwrap();
    [all, marked].map(|names: Vec<String>| names.into_iter().collect())
}

#[tokio::test]
async fn every_table_says_whose_its_rows_are_on_both_databases() {
    let [lite, lite_marked] = tables(&Place::sqlite()).await;
    let [postgres, postgres_marked] = tables(&Place::postgres()).await;
    assert!(lite.len() >= 28 && lite.contains("schema_versions"), "{lite:?}");
    assert_eq!(lite, lite_marked);
    assert_eq!(postgres, postgres_marked);
    assert_eq!(lite, postgres, "the two have the same tables");
}
