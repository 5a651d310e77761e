//! What a table holds, in one digest that is the same on either database.

use aws_lc_rs::digest::{Context, SHA256};

use crate::store::connection::{Connection, Value};
use crate::store::digest::Digest;
use crate::store::error::StoreError;

use super::layout::Table;
use super::rows::Reader;

/// How many rows, and SHA-256 over all of them in the order of their keys. `seen` is told of each batch.
pub(super) async fn digest(
    connection: &mut Connection,
    table: &Table,
    seen: &mut (dyn FnMut(u64) + Send),
) -> Result<(u64, Digest), StoreError> {
    let mut context = Context::new(&SHA256);
    let mut rows: u64 = 0;
    let mut reader = Reader::after(connection, table, None).await?;
    loop {
        let batch = reader.next(connection).await?;
        if batch.is_empty() {
            break;
        }
        batch.iter().flatten().for_each(|value| add(&mut context, value));
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        rows = rows.saturating_add(count);
        seen(count);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Ok((rows, Digest::from_bytes(bytes)))
}

/// Each with its kind and length, so that no two rows read the same.
fn add(context: &mut Context, value: &Value) {
    let (kind, number);
    let bytes: Option<&[u8]> = match value {
        Value::Int(value) => {
            kind = 1_u8;
            number = value.map(i64::to_be_bytes);
            number.as_ref().map(<[u8; 8]>::as_slice)
        }
        Value::Text(value) => {
            kind = 2;
            value.as_ref().map(String::as_bytes)
        }
        Value::Blob(value) => {
            kind = 3;
            value.as_deref()
        }
    };
    let Some(bytes) = bytes else { return context.update(&[0]) };
    context.update(&[kind]);
    context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    context.update(bytes);
}
