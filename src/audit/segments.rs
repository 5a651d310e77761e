//! The files of one log: the current one, and the older segments that lie beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::time::Timestamp;

/// Where a log lies: `audit.jsonl`, older segments `audit.000001.jsonl`, `audit.000002.jsonl`, …
#[derive(Clone, Debug)]
pub(super) struct LogPath {
    pub(super) current: PathBuf,
    pub(super) directory: PathBuf,
    stem: String,
    extension: String,
}

/// One older segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

impl LogPath {
    /// `None` where the path does not name a file with a UTF-8 name.
    pub(super) fn new(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?.to_owned();
        let extension = path
            .extension()
            .map_or(Some(String::new()), |text| text.to_str().map(|text| format!(".{text}")))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Some(Self { current: path.to_owned(), directory, stem, extension })
    }

    pub(super) fn rotated(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{}.{number:06}{}", self.stem, self.extension))
    }

    /// Held by the one process that writes.
    pub(super) fn lock(&self) -> PathBuf {
        let mut name = OsString::from(&self.current);
        name.push(".lock");
        name.into()
    }

    /// The older segments, oldest first.
    pub(super) fn older(&self) -> io::Result<Vec<Segment>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(|name| self.number(name)) {
                found.push(Segment { number, path: entry.path() });
            }
        }
        found.sort();
        Ok(found)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(&self.stem)?.strip_prefix('.')?;
        let digits = digits.strip_suffix(&self.extension)?;
        let shaped = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit());
        shaped.then(|| digits.parse().ok()).flatten()
    }

    /// Moves the current file to the next number and makes the rename lasting.
    pub(super) fn retire_current(&self) -> io::Result<PathBuf> {
        let last = self.older()?.last().map_or(0, |segment| segment.number);
        let to = self.rotated(last.saturating_add(1));
        fs::rename(&self.current, &to)?;
        self.sync_directory()?;
        Ok(to)
    }

    pub(super) fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// Deletes older segments that are too old, then the oldest until all fit into `max_total`.
    pub(super) fn sweep(
        &self,
        now: Timestamp,
        keep: Option<Duration>,
        max_total: Option<u64>,
    ) -> io::Result<()> {
        let mut total = fs::metadata(&self.current).map_or(0, |file| file.len());
        // Newest first: what fits stays, and nothing older than a deleted segment does.
        let mut full = false;
        for segment in self.older()?.iter().rev() {
            let metadata = fs::metadata(&segment.path)?;
            total = total.saturating_add(metadata.len());
            full |= max_total.is_some_and(|max| total > max)
                || keep.is_some_and(|keep| age(&metadata, now) > keep);
            if full {
                fs::remove_file(&segment.path)?;
                tracing::info!(segment = %segment.path.display(), "audit segment deleted by retention");
            }
        }
        Ok(())
    }
}

fn age(metadata: &fs::Metadata, now: Timestamp) -> Duration {
    use std::os::unix::fs::MetadataExt;
    now.since(Timestamp::from_unix_seconds(metadata.mtime()))
}

/// The end of a file of lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) length: u64,
    /// The last line that has an end, without it.
    pub(super) last_line: Option<Vec<u8>>,
    /// Bytes after the last line's end: a line that was cut off.
    pub(super) torn: u64,
}

impl Tail {
    /// Reads the end of a file, however long its last line is.
    pub(super) fn read(file: &mut File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut window = 64 * 1024;
        loop {
            let from = length.saturating_sub(window);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.by_ref().take(length - from).read_to_end(&mut bytes)?;
            let end = bytes.iter().rposition(|b| *b == b'\n');
            let head = end.and_then(|end| bytes.get(..end));
            let start = head.and_then(|head| head.iter().rposition(|b| *b == b'\n'));
            if start.is_some() || from == 0 {
                let whole = end.map_or(0, |end| end + 1);
                let torn = u64::try_from(bytes.len() - whole).unwrap_or(u64::MAX);
                let line = head.and_then(|head| head.get(start.map_or(0, |at| at + 1)..));
                return Ok(Self { length, last_line: line.map(<[u8]>::to_vec), torn });
            }
            window = window.saturating_mul(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tail(bytes: &[u8]) -> Tail {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Tail::read(&mut file).unwrap()
    }

    #[test]
    fn the_tail_tells_the_last_whole_line_from_what_was_cut_off() {
        assert_eq!(tail(b""), Tail { length: 0, last_line: None, torn: 0 });
        assert_eq!(tail(b"a\nbc\n").last_line.as_deref(), Some(&b"bc"[..]));
        let cut = tail(b"a\nbc\nde");
        assert_eq!((cut.last_line.as_deref(), cut.torn), (Some(&b"bc"[..]), 2));
        let long = [b"first\n".as_slice(), &vec![b'x'; 300_000], b"\n"].concat();
        assert_eq!(tail(&long).last_line.map(|line| line.len()), Some(300_000));
    }

    #[test]
    fn only_this_logs_segments_are_found_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "audit.1000000.jsonl",
            "audit.000002.jsonl",
            "audit.jsonl",
            "audit.2.jsonl",
            "other.000001.jsonl",
        ] {
            File::create(folder.path().join(name)).unwrap();
        }
        let log = LogPath::new(&folder.path().join("audit.jsonl")).unwrap();
        let numbers: Vec<_> = log.older().unwrap().iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [2, 1_000_000]);
    }
}
