//! Checks a chained log from its oldest line to its newest.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::chain::{GENESIS, LineFault, Link, Sealed};
use super::segments::LogPath;

/// A `seq` and its hash that were noted elsewhere, as `SEQ:HASH`. Shows lines cut off the end, or a chain made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor(Link);

impl FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (seq, hash) = text.split_once(':')?;
            let hash = <[u8; 64]>::try_from(hash.as_bytes()).ok()?;
            Some(Self(Link { seq: seq.parse().ok()?, hash }))
        };
        parse().ok_or("an anchor is SEQ:HASH, such as `42:` and 64 hex digits")
    }
}

/// What was found. `bad` is the first line that is wrong; nothing after it was looked at.
#[derive(Debug, Serialize)]
pub struct Report {
    pub intact: bool,
    pub files: usize,
    pub lines: u64,
    /// More than 1: older segments are gone, by retention or otherwise.
    pub first_seq: Option<u64>,
    pub last_seq: Option<u64>,
    pub last_hash: Option<String>,
    /// Ends of segments that were cut off and noted by the broker when it started again.
    pub repaired: Vec<Repair>,
    /// The last line was still being written.
    pub in_flight_bytes: usize,
    pub bad: Option<BadLine>,
}

/// A torn end that the next segment accounts for.
#[derive(Debug, Serialize)]
pub struct Repair {
    pub file: PathBuf,
    pub torn_bytes: u64,
}

/// The first line that is wrong, counted from 1.
#[derive(Debug, Serialize)]
pub struct BadLine {
    pub file: PathBuf,
    pub line: u64,
    #[serde(rename = "reason", serialize_with = "as_text")]
    pub fault: LineFault,
}

fn as_text<S: Serializer>(fault: &LineFault, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(fault)
}

/// The files of the log at `path`, oldest first. Those that do not exist are left out.
///
/// # Errors
///
/// The directory cannot be read, or `path` does not name a file (`InvalidInput`).
pub fn segments(path: &Path) -> io::Result<Vec<PathBuf>> {
    let log = LogPath::new(path).ok_or(io::ErrorKind::InvalidInput)?;
    let mut files: Vec<_> = log.older()?.into_iter().map(|segment| segment.path).collect();
    if path.try_exists()? {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// Reads every line of the log at `path` and checks that each follows the one before.
///
/// Does not notice lines cut off the end of the newest file, nor a whole chain made anew: give it an
/// `anchor` for that. `progress` is told the bytes read.
///
/// # Errors
///
/// A file cannot be read. A broken chain is a [`Report`], not an error.
pub fn verify(
    path: &Path,
    anchor: Option<Anchor>,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Report> {
    let files = segments(path)?;
    let mut walk = Walk::new(anchor);
    for file in &files {
        let newest = file == path;
        walk.file(file, newest && is_written_to(path)?, progress)?;
        if walk.report.bad.is_some() {
            break;
        }
    }
    walk.finish(files.len());
    Ok(walk.report)
}

fn is_written_to(path: &Path) -> io::Result<bool> {
    let Some(log) = LogPath::new(path) else { return Ok(false) };
    match File::open(log.lock()) {
        Ok(lock) => Ok(matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A torn end, until the next segment accounts for it.
struct Torn {
    file: PathBuf,
    line: u64,
    bytes: u64,
}

struct Walk {
    anchor: Option<Anchor>,
    anchored: bool,
    link: Option<Link>,
    /// Oldest first.
    torn: VecDeque<Torn>,
    report: Report,
}

#[derive(Deserialize)]
struct Recovered {
    event_type: String,
    payload: RecoveredPayload,
}

#[derive(Deserialize)]
struct RecoveredPayload {
    segment: String,
    torn_bytes: u64,
}

impl Walk {
    fn new(anchor: Option<Anchor>) -> Self {
        let report = Report {
            intact: false,
            files: 0,
            lines: 0,
            first_seq: None,
            last_seq: None,
            last_hash: None,
            repaired: Vec::new(),
            in_flight_bytes: 0,
            bad: None,
        };
        Self { anchored: anchor.is_none(), anchor, link: None, torn: VecDeque::new(), report }
    }

    fn file(
        &mut self,
        path: &Path,
        written_to: bool,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
        let (mut bytes, mut number) = (Vec::new(), 0);
        loop {
            bytes.clear();
            let read = reader.read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            progress(u64::try_from(read).unwrap_or(u64::MAX));
            number += 1;
            match bytes.strip_suffix(b"\n") {
                Some(line) => {
                    if let Err(fault) = self.line(line) {
                        self.bad(path, number, fault);
                        return Ok(());
                    }
                }
                None if written_to => self.report.in_flight_bytes = read,
                None => self.tear(path, number, read),
            }
        }
    }

    fn tear(&mut self, path: &Path, line: u64, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.torn.push_back(Torn { file: path.to_owned(), line, bytes });
    }

    fn line(&mut self, line: &[u8]) -> Result<(), LineFault> {
        let sealed = Sealed::parse(line)?;
        if let Some(torn) = self.torn.pop_front()
            && let Err(torn) = self.repair(torn, line)
        {
            self.bad(&torn.file, torn.line, LineFault::Torn);
        }
        match self.link {
            Some(before) => sealed.follows(before)?,
            None if sealed.link.seq == 1 => sealed.follows(GENESIS)?,
            None => {}
        }
        if let Some(Anchor(anchor)) = self.anchor
            && anchor.seq == sealed.link.seq
        {
            if anchor.hash != sealed.link.hash {
                return Err(LineFault::NotTheAnchor);
            }
            self.anchored = true;
        }
        self.report.first_seq.get_or_insert(sealed.link.seq);
        self.report.lines += 1;
        self.link = Some(sealed.link);
        Ok(())
    }

    /// Accepts a torn end only where this very line, the next one, tells of it.
    fn repair(&mut self, torn: Torn, line: &[u8]) -> Result<(), Torn> {
        let told = serde_json::from_slice::<Recovered>(line).is_ok_and(|event| {
            event.event_type == "audit.log.recovered"
                && event.payload.torn_bytes == torn.bytes
                && torn.file.file_name().is_some_and(|name| name == event.payload.segment.as_str())
        });
        if !told {
            return Err(torn);
        }
        self.report.repaired.push(Repair { file: torn.file, torn_bytes: torn.bytes });
        Ok(())
    }

    fn bad(&mut self, file: &Path, line: u64, fault: LineFault) {
        // The first one counts.
        self.report.bad.get_or_insert(BadLine { file: file.to_owned(), line, fault });
    }

    fn finish(&mut self, files: usize) {
        if let Some(torn) = self.torn.pop_front() {
            self.bad(&torn.file, torn.line, LineFault::Torn);
        }
        self.report.files = files;
        self.report.last_seq = self.link.map(|link| link.seq);
        self.report.last_hash =
            self.link.map(|link| String::from_utf8_lossy(&link.hash).into_owned());
        self.report.intact = self.report.bad.is_none() && self.anchored;
    }
}
