//! Looking after a store from outside, also while a broker runs on it: its state, backups, and back from one.

mod backup;
mod error;
mod restore;
mod status;

pub use backup::backup;
pub use error::MaintainError;
pub(super) use restore::settle;
pub use restore::{Existing, Restored, restore};
pub(super) use status::sqlite_reader;
pub use status::{StoreRoom, StoreStatus, TableStatus, status};
