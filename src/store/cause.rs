//! What a driver's error may say: its kind and code, never a bound value, a statement or an address.

use super::error::StoreError;

/// Why a database did not answer, in a form that can be logged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// `SQLite` result code or PostgreSQL SQLSTATE.
    #[error("the database answered with error code {}\n  hint: {}", .0, of_code(.0))]
    Code(String),
    #[error(
        "input or output failed: {0}\n  hint: look whether the database runs, and at the way there; for a file, at its disk and its owner"
    )]
    Io(std::io::ErrorKind),
    #[error("{}\n  hint: {}", .0, of_other(.0))]
    Other(&'static str),
}

/// What to do about a code. Classes are the first two characters of a SQLSTATE (PostgreSQL, appendix A).
fn of_code(code: &str) -> &'static str {
    match code.get(..2) {
        Some("28") => "look at user and password in store.url, and at pg_hba.conf",
        Some("3D") => "make the database that store.url names: CREATE DATABASE",
        Some("42") => {
            "the user of store.url needs the tables of the broker: let it own its database"
        }
        Some("53") => "the server has no room: its disk, its memory, or max_connections",
        Some("57") => "the server is starting or stopping",
        Some("40") => "others write at the same time; it was tried again",
        _ => "look the code up in the database's manual, and at its log",
    }
}

fn of_other(what: &str) -> &'static str {
    if what.contains("TLS") {
        "sslmode and sslrootcert in store.url; the certificate must be for the host that it names"
    } else if what.contains("free in time") {
        "the database is slow, or fewer connections are allowed than the broker has"
    } else {
        "look at the database's log; for a file, at its disk and its owner"
    }
}

/// The store's error for that of PostgreSQL's driver.
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    let unavailable = |cause: Cause| StoreError::Unavailable(Box::new(cause));
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().map(std::borrow::Cow::into_owned).unwrap_or_default();
            coded(code)
        }
        sqlx::Error::Io(error) => unavailable(Cause::Io(error.kind())),
        sqlx::Error::PoolTimedOut => unavailable(Cause::Other("no connection became free in time")),
        sqlx::Error::PoolClosed => unavailable(Cause::Other("the store is closed")),
        sqlx::Error::Tls(_) => unavailable(Cause::Other("TLS with the database failed")),
        sqlx::Error::Protocol(_) => unavailable(Cause::Other("the database broke its protocol")),
        _ => unavailable(Cause::Other("the database driver failed")),
    }
}

/// PostgreSQL keeps no such text; `SQLite` would, and could never be copied there.
pub(super) const ZERO_BYTE: StoreError = StoreError::Corrupt("a text with a zero byte");

/// `SQLite` numbers its results (the low byte is the kind), PostgreSQL has five characters.
pub(super) fn coded(code: String) -> StoreError {
    let kind = if code.len() < 5 { code.parse::<u32>().ok().map(|code| code & 0xff) } else { None };
    match (kind, code.as_str()) {
        (Some(11 | 26), _) => StoreError::Corrupt("the file is no database, or damaged"),
        (_, "22021") => ZERO_BYTE,
        // SQLite's IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE: the disk did not take it.
        (Some(8 | 13), _) | (_, "53100" | "25006" | "778" | "1034" | "1546") => {
            StoreError::Full(Box::new(Cause::Code(code)))
        }
        _ => StoreError::Unavailable(Box::new(Cause::Code(code))),
    }
}

impl StoreError {
    /// Whether somebody else had a lock for longer than was waited for it.
    #[must_use]
    pub fn is_of_a_lock(&self) -> bool {
        self.is_of_code("55P03")
    }

    /// Whether the database answered with exactly this code.
    pub(super) fn is_of_code(&self, wanted: &str) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        matches!(cause.downcast_ref(), Some(Cause::Code(code)) if code == wanted)
    }
}

/// Whether the same transaction may succeed when it is run again (PostgreSQL serialisation and deadlock).
pub(super) fn is_conflict(error: &StoreError) -> bool {
    error.is_of_code("40001") || error.is_of_code("40P01")
}

/// Whether a statement was prepared before a newer version changed the schema, and what it gives is of another type by now: each
/// connection has to prepare it anew.
pub(super) fn is_of_older_schema(error: &StoreError) -> bool {
    error.is_of_code("0A000")
}

/// An `Unavailable` that we found ourselves.
pub(super) fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(Box::new(Cause::Other(why)))
}
