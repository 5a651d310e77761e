//! What a store consists of: every table of the newest schema, read from the schema itself, so that none is ever forgotten.

use crate::store::connection::{Connection, values};
use crate::store::error::StoreError;
use crate::store::migrate::migrate_to;
use crate::store::open_error::OpenError;
use crate::store::sqlite::SqliteConnection;

/// What a column holds, beside nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Blob,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The places of its key in `columns`, in the key's own order.
    key: Vec<usize>,
    /// Its key is a number that the database gives.
    pub(super) is_numbered: bool,
}

impl Table {
    pub(super) fn key(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|at| self.columns.get(*at))
    }

    /// The key of a row.
    pub(super) fn key_of<T: Clone>(&self, row: &[T]) -> Vec<T> {
        self.key.iter().filter_map(|at| row.get(*at).cloned()).collect()
    }

    /// All columns, as a statement names them.
    pub(super) fn names(&self) -> String {
        let names = self.columns.iter().map(|column| format!("\"{}\"", column.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The key's columns, each ordered by its bytes, as `SQLite` does by itself.
    pub(super) fn ordered_key(&self, postgres: bool, suffix: &str) -> String {
        let name = |column: &Column| match column.kind {
            Kind::Text if postgres => format!("\"{}\" COLLATE \"C\"{suffix}", column.name),
            _ => format!("\"{}\"{suffix}", column.name),
        };
        self.key().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// Every table of a store of that schema but the one that says which it has.
pub(super) async fn layout(schema: i64) -> Result<Vec<Table>, OpenError> {
    const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' \
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'schema_versions' ORDER BY name";
    let model = SqliteConnection::in_memory().map_err(OpenError::Database)?;
    let mut model = Connection::Sqlite(model);
    migrate_to(&mut model, schema).await?;
    let mut tables = Vec::new();
    for row in model.rows(TABLES, values![]).await.map_err(OpenError::Database)? {
        let name = row.text("name").map_err(OpenError::Database)?;
        tables.push(table(&mut model, name).await.map_err(OpenError::Database)?);
    }
    Ok(tables)
}

async fn table(model: &mut Connection, name: String) -> Result<Table, StoreError> {
    const COLUMNS: &str = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
    let (mut columns, mut key, mut is_numbered) = (Vec::new(), Vec::new(), false);
    for (at, row) in model.rows(COLUMNS, values![name.as_str()]).await?.iter().enumerate() {
        let (declared, place) = (row.text("type")?, row.int("pk")?);
        let kind = match declared.as_str() {
            "BIGINT" | "INTEGER" => Kind::Int,
            "TEXT" => Kind::Text,
            "BLOB" => Kind::Blob,
            _ => return Err(StoreError::Corrupt("a column of a type that cannot be copied")),
        };
        if place > 0 {
            key.push((place, at));
        }
        is_numbered |= declared == "INTEGER";
        columns.push(Column { name: row.text("name")?, kind });
    }
    if key.is_empty() {
        return Err(StoreError::Corrupt("a table without a key"));
    }
    key.sort_unstable();
    let key = key.into_iter().map(|(_, at)| at).collect();
    Ok(Table { name, columns, key, is_numbered })
}

#[cfg(test)]
mod tests {
    use crate::store::migrate::KNOWN;

    use super::*;

    #[tokio::test]
    async fn every_table_has_a_key_and_the_numbered_one_is_known() {
        let tables = layout(KNOWN).await.unwrap();
        let find = |name: &str| tables.iter().find(|table| table.name == name).unwrap();
        let key: Vec<_> = find("consents").key().map(|column| column.name.as_str()).collect();
        assert_eq!(key, ["user_id", "client_id", "redirect_class", "resource"]);
        assert!(find("revocations").is_numbered && !find("grants").is_numbered);
        assert!(tables.iter().all(|table| table.name != "schema_versions"));
        assert_eq!(find("codes").ordered_key(true, ""), "\"code\"", "bytes have one order");
        assert_eq!(find("grants").ordered_key(true, " DESC"), "\"id\" COLLATE \"C\" DESC");
    }
}
