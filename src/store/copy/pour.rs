//! All rows of one store into another that has none, within a transaction of each.

use crate::store::connection::Connection;
use crate::store::error::StoreError;

use super::digest::digest;
use super::layout::Table;
use super::rows::{Reader, count_on, insert};

/// Why it was not done. Neither transaction can be of use then.
pub(super) enum Spilt {
    From(StoreError),
    To(StoreError),
    /// They do not hold the same afterwards.
    Differs(String),
}

/// Batch by batch, so in bounded memory; then both are read, and must be the same.
pub(super) async fn pour(
    from: &mut Connection,
    to: &mut Connection,
    tables: &[Table],
) -> Result<(), Spilt> {
    for table in tables {
        let mut reader = Reader::after(from, table, None).await.map_err(Spilt::From)?;
        loop {
            let batch = reader.next(from).await.map_err(Spilt::From)?;
            if batch.is_empty() {
                break;
            }
            insert(to, table, batch).await.map_err(Spilt::To)?;
        }
        count_on(to, table).await.map_err(Spilt::To)?;
    }
    for table in tables {
        let ours = digest(from, table, &mut |_| {}).await.map_err(Spilt::From)?;
        let theirs = digest(to, table, &mut |_| {}).await.map_err(Spilt::To)?;
        if ours != theirs {
            return Err(Spilt::Differs(table.name.clone()));
        }
    }
    Ok(())
}
