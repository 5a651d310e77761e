//! Connections that only read, each lent to one read at a time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::connection::Connection;
use crate::store::error::StoreError;

use super::connection::{Access, SqliteConnection};
use super::place::FilePlace;

/// With a write-ahead log readers wait for nobody, but for who takes the whole file, and that is no broker.
const PATIENCE: Duration = Duration::from_millis(100);

/// As many connections as there are threads that read at once.
pub(in crate::store) struct Readers {
    place: FilePlace,
    free: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    /// Opens none yet.
    pub(in crate::store) fn of(place: FilePlace) -> Self {
        Self { place, free: Mutex::default() }
    }

    /// One for a read, which must not wait for anything else while it has it.
    ///
    /// # Errors
    ///
    /// As [`SqliteConnection::open`]
    pub(in crate::store) fn take(&self) -> Result<Connection, StoreError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(|| self.open(), Ok).map(Connection::Sqlite)
    }

    fn open(&self) -> Result<SqliteConnection, StoreError> {
        let opened = SqliteConnection::open(self.place.path(), Access::Read, PATIENCE);
        // Afterwards: what was opened is what the writer writes to, and not what came in its place.
        self.place.check().and(opened)
    }

    /// Back from a read that went well; after a fault a connection is dropped instead.
    pub(in crate::store) fn give_back(&self, connection: Connection) {
        if let Connection::Sqlite(connection) = connection {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
