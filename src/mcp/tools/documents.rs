//! The two sample tools: a document for everybody and one for a few.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// The largest document that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Which document a tool reads. The name is fixed: no path ever comes from a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    Public,
    Confidential,
}

/// Where the documents are.
#[derive(Clone, Debug)]
pub enum Documents {
    /// The two samples in the binary.
    BuiltIn,
    /// A directory that holds `public.md` and `confidential.md`.
    Directory(PathBuf),
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
    pub async fn directory(path: PathBuf) -> Result<Self, DocumentError> {
        let documents = Self::Directory(path);
        for document in [Document::Public, Document::Confidential] {
            documents.read(document).await?;
        }
        Ok(documents)
    }

    /// The text of a document, read anew each time, so that a mounted file can be replaced.
    ///
    /// # Errors
    ///
    /// [`DocumentError`]
    pub async fn read(&self, document: Document) -> Result<Cow<'static, str>, DocumentError> {
        match (self, document) {
            (Self::BuiltIn, Document::Public) => {
                Ok(Cow::Borrowed(include_str!("../../../documents/public.md")))
            }
            (Self::BuiltIn, Document::Confidential) => {
                Ok(Cow::Borrowed(include_str!("../../../documents/confidential.md")))
            }
            (Self::Directory(path), document) => {
                read(path, document.file_name()).await.map(Cow::Owned)
            }
        }
    }
}

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

    async fn with_public(content: &[u8]) -> Result<Cow<'static, str>, DocumentError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("public.md"), content).unwrap();
        Documents::Directory(directory.path().to_owned()).read(Document::Public).await
    }

    #[tokio::test]
    async fn a_document_that_cannot_be_served_says_why() {
        assert!(matches!(with_public(b"\xff").await, Err(DocumentError::NotText("public.md"))));
        let large = vec![b'a'; 1024 * 1024 + 1];
        assert!(matches!(with_public(&large).await, Err(DocumentError::TooLarge("public.md"))));
        assert_eq!(with_public(&large[1..]).await.unwrap().len(), 1024 * 1024);
    }

    #[tokio::test]
    async fn a_directory_without_both_documents_is_refused_at_start() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("public.md"), "hello").unwrap();
        let taken = Documents::directory(directory.path().to_owned()).await;
        assert!(matches!(taken, Err(DocumentError::Missing("confidential.md"))));
        std::fs::create_dir(directory.path().join("confidential.md")).unwrap();
        let taken = Documents::directory(directory.path().to_owned()).await;
        assert!(matches!(taken, Err(DocumentError::Unreadable { .. })), "{taken:?}");
    }
}
