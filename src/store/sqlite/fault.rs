//! What an error of `SQLite` may say: its code, never a bound value, a statement or a path.

use crate::store::cause::{coded, unavailable};
use crate::store::error::StoreError;

/// Takes the error: it is for `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err calls")]
pub(super) fn fault(error: rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(error, _) | rusqlite::Error::SqlInputError { error, .. } => {
            coded(error.extended_code.to_string())
        }
        _ => unavailable("the database driver failed"),
    }
}
