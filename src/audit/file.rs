//! The file sink: appends, rotates, deletes old segments, seals lines, and repairs what a crash left.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::id::{RequestId, TraceId};

use super::chain::{GENESIS, LineFault, Link, Sealed};
use super::envelope::Context;
use super::error::OpenError;
use super::event::AuditEvent;
use super::line::LineFormat;
use super::segments::{LogPath, Tail};
use super::sink::FileSettings;

/// One log. What it took stays: a failed write is cut off again, so that no half line is left behind.
#[derive(Debug)]
pub(super) struct FileSink {
    settings: FileSettings,
    log: LogPath,
    format: LineFormat,
    segment: Option<SegmentFile>,
    /// Where the chain stands after the last line that was taken.
    link: Link,
    /// To be the first lines of the new segment: what was wrong with the ends of those before.
    notices: Vec<u8>,
    scratch: Vec<u8>,
    _lock: File,
}

#[derive(Debug)]
struct SegmentFile {
    file: File,
    /// Up to here everything is whole, and on disk if the sink is durable.
    length: u64,
    unsynced: bool,
}

impl FileSink {
    /// Locks the log and continues it.
    ///
    /// A torn last line stays where it is; its file becomes an older segment, and a new one starts
    /// with `audit.log.recovered`.
    pub(super) fn open(settings: FileSettings, format: LineFormat) -> Result<Self, OpenError> {
        let path = settings.path.clone();
        let log = LogPath::new(&path).ok_or(OpenError::NotAFile { path: path.clone() })?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&log.directory)
            .map_err(OpenError::io(&log.directory))?;
        let lock = open_append(&log.lock()).map_err(OpenError::io(log.lock()))?;
        take_lock(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::Locked { path: path.clone() },
            TryLockError::Error(source) => OpenError::Io { path: log.lock(), source },
        })?;
        let mut sink = Self {
            settings,
            log,
            format,
            segment: None,
            link: GENESIS,
            notices: Vec::new(),
            scratch: Vec::new(),
            _lock: lock,
        };
        if let Some(line) = sink.resume().map_err(OpenError::io(&path))? {
            sink.check_mode(&line)?;
        }
        sink.write_notices().map_err(OpenError::io(&path))?;
        sink.sweep();
        Ok(sink)
    }

    /// Opens the current file at its end, or a new one. Answers the last whole line of the log.
    fn resume(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut file = open_append(&self.log.current)?;
        let mut tail = Tail::read(&mut file)?;
        if tail.torn > 0 {
            self.log.retire_current()?;
            file = open_append(&self.log.current)?;
            tail = Tail::read(&mut file)?;
        }
        let last_line = if tail.last_line.is_some() { tail.last_line } else { self.look_back()? };
        self.log.sync_directory()?;
        self.segment = Some(SegmentFile { file, length: tail.length, unsynced: false });
        Ok(last_line)
    }

    /// For an empty current file: the last whole line before it. Prepares a notice for every torn
    /// end after that line, also for those that an earlier start did not come to write down.
    fn look_back(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut torn = Vec::new();
        let mut last_line = None;
        for segment in self.log.older()?.iter().rev() {
            let tail = Tail::read(&mut File::open(&segment.path)?)?;
            if tail.torn > 0 {
                torn.push((segment.path.clone(), tail.torn));
            }
            if tail.last_line.is_some() {
                last_line = tail.last_line;
                break;
            }
        }
        self.notices.clear();
        for (path, bytes) in torn.into_iter().rev() {
            let segment = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tracing::warn!(segment, torn_bytes = bytes, "an audit segment ends in a torn line");
            self.notices.extend(self.recovery_line(segment, bytes).unwrap_or_default());
        }
        Ok(last_line)
    }

    /// Takes the chain up from `line`, or refuses a log of the other kind.
    fn check_mode(&mut self, line: &[u8]) -> Result<(), OpenError> {
        let path = self.settings.path.clone();
        let wanted = self.settings.hash_chain;
        match (Sealed::parse(line), wanted) {
            (Ok(sealed), true) => {
                self.link = sealed.link;
                Ok(())
            }
            (Err(LineFault::NotSealed), false) => Ok(()),
            (Ok(_), false) | (Err(LineFault::NotSealed), true) => {
                Err(OpenError::ChainMode { path, wanted })
            }
            (Err(_), true) => Err(OpenError::ChainBroken { path }),
            (Err(_), false) => Err(OpenError::ChainMode { path, wanted }),
        }
    }

    fn recovery_line(&self, segment: String, torn_bytes: u64) -> Option<Vec<u8>> {
        let context = Context {
            request_id: RequestId::generate(&*self.format.clock, &*self.format.random),
            trace_id: TraceId::generate(&*self.format.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let mut line = Vec::new();
        let event = AuditEvent::LogRecover { segment, torn_bytes };
        self.format.write(&mut line, &context, &event).ok()?;
        Some(line)
    }

    /// Takes `batch` from `offset` on, whole lines at a time. On an error `offset` says how far.
    pub(super) fn write(&mut self, batch: &[u8], offset: &mut usize) -> io::Result<()> {
        self.ready()?;
        while let Some(rest) = batch.get(*offset..).filter(|rest| !rest.is_empty()) {
            self.rotate_if_full()?;
            let length = self.segment.as_ref().map_or(0, |segment| segment.length);
            let room = self.settings.rotate_bytes.saturating_sub(length);
            let lines = whole_lines(rest, usize::try_from(room).unwrap_or(usize::MAX));
            self.append(lines)?;
            *offset += lines.len();
        }
        Ok(())
    }

    /// Makes everything taken so far lasting.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(segment) = self.segment.as_mut().filter(|segment| segment.unsynced) {
            segment.file.sync_data()?;
            segment.unsynced = false;
        }
        Ok(())
    }

    /// Opens the log again if it was given up, or if somebody deleted the file under us.
    fn ready(&mut self) -> io::Result<()> {
        let metadata = self.segment.as_ref().map(|segment| segment.file.metadata()).transpose()?;
        match metadata {
            Some(metadata) if metadata.nlink() > 0 => {}
            Some(_) => {
                // The chain goes on from memory, so that `verify` shows the gap.
                tracing::error!(path = %self.settings.path.display(), "the audit log was deleted");
                self.resume()?;
            }
            None => {
                if let Some(line) = self.resume()? {
                    self.check_mode(&line).map_err(io::Error::other)?;
                }
            }
        }
        self.write_notices()
    }

    fn write_notices(&mut self) -> io::Result<()> {
        let notices = std::mem::take(&mut self.notices);
        if notices.is_empty() {
            return Ok(());
        }
        self.append(&notices).inspect_err(|_| self.notices = notices)
    }

    fn rotate_if_full(&mut self) -> io::Result<()> {
        let full = |segment: &SegmentFile| segment.length >= self.settings.rotate_bytes;
        if !self.segment.as_ref().is_some_and(full) {
            return Ok(());
        }
        self.sync()?;
        self.segment = None;
        self.log.retire_current()?;
        self.resume()?;
        self.sweep();
        Ok(())
    }

    /// Retention never stops the log: what cannot be deleted now is tried again at the next rotation.
    fn sweep(&self) {
        let now = self.format.clock.now();
        let FileSettings { keep, max_total_bytes, .. } = self.settings;
        if let Err(error) = self.log.sweep(now, keep, max_total_bytes) {
            tracing::warn!(%error, "old audit segments could not be deleted");
        }
    }

    /// Writes whole lines, sealed if the log is chained, or leaves the file as it was.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut link = self.link;
        let bytes = if self.settings.hash_chain {
            self.scratch.clear();
            for line in lines.split_inclusive(|b| *b == b'\n') {
                link.seal(line, &mut self.scratch);
            }
            self.scratch.as_slice()
        } else {
            lines
        };
        let Some(segment) = &mut self.segment else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let Err(error) = segment.append(bytes, self.settings.durable) {
            // After a failed fsync the kernel may call lost pages clean, so the same bytes are
            // written anew later instead of being synced again.
            if segment.file.set_len(segment.length).is_err() {
                self.segment = None;
            }
            return Err(error);
        }
        self.link = link;
        Ok(())
    }
}

impl SegmentFile {
    fn append(&mut self, bytes: &[u8], durable: bool) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if durable {
            self.file.sync_data()?;
        }
        self.unsynced |= !durable;
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// As many whole lines as fit into `room`, at least one.
fn whole_lines(bytes: &[u8], room: usize) -> &[u8] {
    if bytes.len() <= room {
        return bytes;
    }
    let fitting = bytes.get(..room).and_then(|head| head.iter().rposition(|b| *b == b'\n'));
    let end = fitting.or_else(|| bytes.iter().position(|b| *b == b'\n'));
    end.and_then(|end| bytes.get(..=end)).unwrap_or(bytes)
}

/// Tries for a moment: `broker audit verify` looks whether the lock is held by taking it.
fn take_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..10 {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    lock.try_lock()
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn a_segment_takes_whole_lines_and_at_least_one() {
        assert_eq!(whole_lines(b"aa\nbb\ncc\n", 7), b"aa\nbb\n");
        assert_eq!(whole_lines(b"aa\nbb\n", 1), b"aa\n");
        assert_eq!(whole_lines(b"aa\nbb\n", 6), b"aa\nbb\n");
    }
}
