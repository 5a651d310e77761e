//! A whole store, copied from one database to another: in batches, resumable, compared at the end.
//!
//! Values are copied as they are: what is hashed stays hashed, what is sealed stays sealed with the same key.

mod digest;
mod error;
mod layout;
mod places;
mod pour;
mod put_back;
mod rows;
mod snapshot;
mod unfinished;

use serde::Serialize;

use super::connection::Connection;
use super::digest::Digest;
use super::migrate::KNOWN;
use super::settings::StoreSettings;

pub use error::CopyError;
pub(super) use put_back::put_back;
pub(super) use snapshot::snapshot;
pub(super) use unfinished::refuse_unfinished;

use layout::{Table, layout};
use places::Target;
use rows::Reader;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyProgress<'a> {
    pub step: CopyStep,
    pub table: &'a str,
    /// Rows of this step, over all tables, those of an earlier run among them.
    pub done: u64,
    pub of: u64,
}

/// What is done with a table at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    Copying,
    /// Both stores are read again, and each table's digest is made.
    Comparing,
}

/// A copy that is finished: both stores hold the same.
#[derive(Clone, Debug, Serialize)]
pub struct Copied {
    pub tables: Vec<CopiedTable>,
    /// Rows that an earlier run had copied already.
    pub resumed_rows: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct CopiedTable {
    pub name: String,
    pub rows: u64,
    /// SHA-256 over all its rows, in hexadecimal digits.
    pub sha256: String,
}

/// Copies every row of the store `from` to `to`, an empty database or one where a copy of the same store was cut off.
///
/// Nothing else may have `from` open, and nothing can write there meanwhile. Until it is finished and found to be the same,
/// no broker starts on `to`. Memory is bounded, whatever the stores hold.
///
/// # Errors
///
/// [`CopyError`]: `from` was not changed. What was copied stays, and the next call goes on from there.
pub async fn copy(
    from: &StoreSettings,
    to: &StoreSettings,
    watch: &mut (dyn FnMut(CopyProgress<'_>) + Send),
) -> Result<Copied, CopyError> {
    if places::are_one(from, to) {
        return Err(CopyError::Same);
    }
    let tables = layout(KNOWN).await.map_err(CopyError::To)?;
    let mut source = places::source(from, &tables).await?;
    let identity = identity(&mut source, &tables).await?;
    let mut of: u64 = 0;
    for table in &tables {
        let rows = rows::count(&mut source, table).await.map_err(|error| read(table, error))?;
        of = of.saturating_add(rows);
    }
    let mut target = Target::open(to)?;
    target.prepare(&tables, identity).await?;
    let mut ends = Ends { source, target, of, done: 0, resumed: 0, watch };
    for table in &tables {
        ends.copy(table).await?;
    }
    ends.done = 0;
    let mut copied = Vec::new();
    for table in &tables {
        copied.push(ends.compare(table).await?);
    }
    ends.finish().await?;
    Ok(Copied { tables: copied, resumed_rows: ends.resumed })
}

/// By which a copy that was cut off knows its source again: its signing keys.
async fn identity(source: &mut Connection, tables: &[Table]) -> Result<Digest, CopyError> {
    let Some(keys) = tables.iter().find(|table| table.name == "signing_keys") else {
        return Ok(Digest::of(""));
    };
    let digest = digest::digest(source, keys, &mut |_| {}).await;
    digest.map(|(_, digest)| digest).map_err(|error| read(keys, error))
}

fn read(table: &Table, source: super::StoreError) -> CopyError {
    CopyError::Read { table: table.name.clone(), source }
}

fn write(table: &Table, source: super::StoreError) -> CopyError {
    CopyError::Write { table: table.name.clone(), source }
}

struct Ends<'w> {
    source: Connection,
    target: Target,
    of: u64,
    done: u64,
    resumed: u64,
    watch: &'w mut (dyn FnMut(CopyProgress<'_>) + Send),
}

impl Ends<'_> {
    /// From behind the last key that is there already: batches are committed in the order of keys.
    async fn copy(&mut self, table: &Table) -> Result<(), CopyError> {
        let (there, last) = self.there(table).await.map_err(|error| write(table, error))?;
        self.resumed = self.resumed.saturating_add(there);
        self.done = self.done.saturating_add(there);
        self.show(CopyStep::Copying, table);
        let reader = Reader::after(&mut self.source, table, last).await;
        let mut reader = reader.map_err(|error| read(table, error))?;
        loop {
            let batch = reader.next(&mut self.source).await.map_err(|error| read(table, error))?;
            if batch.is_empty() {
                return Ok(());
            }
            let rows = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            self.put(table, batch).await.map_err(|error| write(table, error))?;
            self.done = self.done.saturating_add(rows);
            self.show(CopyStep::Copying, table);
        }
    }

    async fn there(
        &mut self,
        table: &Table,
    ) -> Result<(u64, Option<rows::Cells>), super::StoreError> {
        let mut connection = self.target.begin().await?;
        let rows = rows::count(&mut connection, table).await?;
        let last = rows::last_key(&mut connection, table).await?;
        self.target.commit(connection).await?;
        Ok((rows, last))
    }

    async fn put(
        &mut self,
        table: &Table,
        batch: Vec<rows::Cells>,
    ) -> Result<(), super::StoreError> {
        let mut connection = self.target.begin().await?;
        rows::insert(&mut connection, table, batch).await?;
        rows::count_on(&mut connection, table).await?;
        self.target.commit(connection).await
    }

    async fn compare(&mut self, table: &Table) -> Result<CopiedTable, CopyError> {
        self.show(CopyStep::Comparing, table);
        let (of, done, watch) = (self.of, &mut self.done, &mut *self.watch);
        let mut seen = |rows| {
            *done = done.saturating_add(rows);
            let (step, done) = (CopyStep::Comparing, *done);
            watch(CopyProgress { step, table: &table.name, done, of });
        };
        let ours = digest::digest(&mut self.source, table, &mut seen).await;
        let (from, ours) = ours.map_err(|error| read(table, error))?;
        let (to, theirs) = self.theirs(table).await.map_err(|error| write(table, error))?;
        if (from, ours) != (to, theirs) {
            return Err(CopyError::Differs { table: table.name.clone(), from, to });
        }
        let sha256 = ours.to_hex();
        Ok(CopiedTable { name: table.name.clone(), rows: from, sha256 })
    }

    async fn theirs(&mut self, table: &Table) -> Result<(u64, Digest), super::StoreError> {
        let mut connection = self.target.begin().await?;
        let digest = digest::digest(&mut connection, table, &mut |_| {}).await?;
        self.target.commit(connection).await?;
        Ok(digest)
    }

    async fn finish(&mut self) -> Result<(), CopyError> {
        let mut connection = self.target.begin().await.map_err(CopyError::to_store)?;
        unfinished::unmark(&mut connection).await?;
        self.target.commit(connection).await.map_err(CopyError::to_store)
    }

    fn show(&mut self, step: CopyStep, table: &Table) {
        let (done, of) = (self.done, self.of);
        (self.watch)(CopyProgress { step, table: &table.name, done, of });
    }
}
