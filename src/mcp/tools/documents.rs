//! The two sample tools: a document for everybody and one for a few.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::time::Clock;

/// The largest document that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Which document a tool reads. The name is fixed: no path ever comes from a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Document {
    Public,
    Confidential,
}

/// How long a document is served before its file is read again: a mounted file may be replaced.
const FRESH: Duration = Duration::from_secs(1);

/// Where the documents are.
#[derive(Debug)]
pub enum Documents {
    /// The two samples in the binary.
    BuiltIn,
    /// A directory that holds `public.md` and `confidential.md`.
    Directory { path: PathBuf, clock: Arc<dyn Clock>, known: Mutex<HashMap<Document, Known>> },
}

/// A document as it was read.
#[derive(Clone, Debug)]
pub struct Known {
    text: Arc<str>,
    /// Monotonic time of the reading.
    read_at: Duration,
}

/// Why a document cannot be read. Names the file by its fixed name, never by its place.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("there is no {0}")]
    Missing(&'static str),
    #[error("{name} is not a file that can be read")]
    Unreadable {
        name: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{0} is larger than 1 MiB")]
    TooLarge(&'static str),
    #[error("{0} is not UTF-8 text")]
    NotText(&'static str),
}

impl Document {
    const fn file_name(self) -> &'static str {
        match self {
            Self::Public => "public.md",
            Self::Confidential => "confidential.md",
        }
    }
}

impl Documents {
    /// Takes a directory, after both documents were read from it once.
    ///
    /// # Errors
    ///
    /// [`DocumentError`] for the first document that cannot be read.
    pub async fn directory(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, DocumentError> {
        let documents = Self::Directory { path, clock, known: Mutex::default() };
        for document in [Document::Public, Document::Confidential] {
            documents.read(document).await?;
        }
        Ok(documents)
    }

    /// The text of a document, at most a second old.
    ///
    /// # Errors
    ///
    /// [`DocumentError`]
    pub async fn read(&self, document: Document) -> Result<Arc<str>, DocumentError> {
        let (path, clock, known) = match (self, document) {
            (Self::BuiltIn, Document::Public) => return Ok(Arc::clone(&PUBLIC)),
            (Self::BuiltIn, Document::Confidential) => return Ok(Arc::clone(&CONFIDENTIAL)),
            (Self::Directory { path, clock, known }, _) => (path, clock, known),
        };
        let now = clock.monotonic();
        let held = known.lock().unwrap_or_else(PoisonError::into_inner).get(&document).cloned();
        if let Some(held) = held.filter(|held| now.saturating_sub(held.read_at) < FRESH) {
            return Ok(held.text);
        }
        let text: Arc<str> = read(path, document.file_name()).await?.into();
        let read = Known { text: Arc::clone(&text), read_at: now };
        known.lock().unwrap_or_else(PoisonError::into_inner).insert(document, read);
        Ok(text)
    }
}

static PUBLIC: LazyLock<Arc<str>> =
    LazyLock::new(|| include_str!("../../../documents/public.md").into());
static CONFIDENTIAL: LazyLock<Arc<str>> =
    LazyLock::new(|| include_str!("../../../documents/confidential.md").into());

async fn read(directory: &Path, name: &'static str) -> Result<String, DocumentError> {
    use tokio::io::AsyncReadExt;

    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DocumentError::Missing(name),
        _ => DocumentError::Unreadable { name, source },
    };
    let file = tokio::fs::File::open(directory.join(name)).await.map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that fits from one that does not, without trusting its length.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DocumentError::TooLarge(name));
    }
    String::from_utf8(bytes).map_err(|_| DocumentError::NotText(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{FixedClock, Timestamp};

    async fn with_public(content: &[u8]) -> Result<usize, DocumentError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("public.md"), content).unwrap();
        std::fs::write(directory.path().join("confidential.md"), "").unwrap();
        let documents = Documents::directory(directory.path().to_owned(), clock()).await?;
        Ok(documents.read(Document::Public).await?.len())
    }

    fn clock() -> Arc<FixedClock> {
        Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1)))
    }

    #[tokio::test]
    async fn a_document_that_cannot_be_served_says_why() {
        assert!(matches!(with_public(b"\xff").await, Err(DocumentError::NotText("public.md"))));
        let large = vec![b'a'; 1024 * 1024 + 1];
        assert!(matches!(with_public(&large).await, Err(DocumentError::TooLarge("public.md"))));
        assert_eq!(with_public(&large[1..]).await.unwrap(), 1024 * 1024);
    }

    #[tokio::test]
    async fn a_directory_without_both_documents_is_refused_at_start() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("public.md"), "hello").unwrap();
        let taken = Documents::directory(directory.path().to_owned(), clock()).await;
        assert!(matches!(taken, Err(DocumentError::Missing("confidential.md"))));
        std::fs::create_dir(directory.path().join("confidential.md")).unwrap();
        let taken = Documents::directory(directory.path().to_owned(), clock()).await;
        assert!(matches!(taken, Err(DocumentError::Unreadable { .. })), "{taken:?}");
    }

    #[tokio::test]
    async fn a_replaced_file_is_served_after_a_second() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["public.md", "confidential.md"] {
            std::fs::write(directory.path().join(name), "old").unwrap();
        }
        let clock = clock();
        let documents =
            Documents::directory(directory.path().to_owned(), clock.clone()).await.unwrap();
        std::fs::write(directory.path().join("public.md"), "new").unwrap();
        assert_eq!(&*documents.read(Document::Public).await.unwrap(), "old");
        clock.advance(FRESH);
        assert_eq!(&*documents.read(Document::Public).await.unwrap(), "new");
    }
}
