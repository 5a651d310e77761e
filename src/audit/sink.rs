//! Where lines go: standard output or a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use super::error::OpenError;
use super::file::FileSink;
use super::line::LineFormat;

/// One place that every event goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSettings {
    /// Never durable: whoever reads it is not ours to wait for.
    Stdout,
    File(FileSettings),
}

/// A log file and its older segments. Made 0600 in a directory made 0700.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// Such as `audit.jsonl`; older segments lie beside it as `audit.000001.jsonl` and so on.
    pub path: PathBuf,
    /// A new segment starts after so many bytes.
    pub rotate_bytes: u64,
    /// Segments not written to for longer are deleted, oldest first.
    pub keep: Option<Duration>,
    /// Older segments are deleted until all together take at most so much.
    pub max_total_bytes: Option<u64>,
    /// Acknowledge only what `fdatasync` has put on disk.
    pub durable: bool,
    /// Give every line `seq`, `prev_hash` and `hash`.
    pub hash_chain: bool,
}

impl FileSettings {
    /// Segments of 256 MiB, kept for ever, neither durable nor chained.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rotate_bytes: 256 << 20,
            keep: None,
            max_total_bytes: None,
            durable: false,
            hash_chain: false,
        }
    }
}

impl SinkSettings {
    pub(super) fn is_durable(&self) -> bool {
        match self {
            Self::Stdout => false,
            Self::File(file) => file.durable,
        }
    }

    pub(super) const fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Stdout => None,
            Self::File(file) => Some(&file.path),
        }
    }

    pub(super) fn open(self, format: &LineFormat) -> Result<Sink, OpenError> {
        match self {
            Self::Stdout => {
                let output = io::stdout().as_fd().try_clone_to_owned();
                Ok(Sink::Stdout(output.map_err(OpenError::io("stdout"))?.into()))
            }
            Self::File(settings) => {
                Ok(Sink::File(Box::new(FileSink::open(settings, format.clone())?)))
            }
        }
    }
}

#[derive(Debug)]
pub(super) enum Sink {
    /// Its own descriptor, without the buffer of `std::io::Stdout`: a failed write says how far it got.
    Stdout(File),
    File(Box<FileSink>),
}

impl Sink {
    /// Writes `batch` from `offset` on, and moves `offset` past what this sink has taken for good.
    pub(super) fn write(&mut self, batch: &[u8], offset: &mut usize) -> io::Result<()> {
        match self {
            Self::Stdout(output) => write_stream(output, batch, offset),
            Self::File(file) => file.write(batch, offset),
        }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file) => file.sync(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::File(_) => "file",
        }
    }
}

fn write_stream(output: &mut impl Write, batch: &[u8], offset: &mut usize) -> io::Result<()> {
    while let Some(rest) = batch.get(*offset..).filter(|rest| !rest.is_empty()) {
        match output.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *offset += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, then refuses.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_refused_halfway_goes_on_where_it_stopped() {
        let mut output = Narrow { taken: Vec::new(), room: 5 };
        let mut offset = 0;
        assert!(write_stream(&mut output, b"one\ntwo\n", &mut offset).is_err());
        output.room = 100;
        write_stream(&mut output, b"one\ntwo\n", &mut offset).unwrap();
        assert_eq!(output.taken, b"one\ntwo\n");
    }
}
