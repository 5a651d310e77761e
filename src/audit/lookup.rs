//! Finding the events of one request in a log, however large it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::id::{EventId, RequestId};
use crate::time::Timestamp;

use super::auditor::Auditor;
use super::verify::segments;

/// So much of a log is read for one question; then what was found by then is the answer.
const MOST_BYTES: u64 = 512 << 20;
/// So much of the end of a log is read for a request of a moment ago.
const MOST_AT_END: u64 = 16 << 20;
/// A line longer than this is none of ours.
const LONGEST_LINE: u64 = 4 << 20;
/// So many lines of one id are enough: callers may choose one id for all their requests.
const MOST_LINES: usize = 256;
/// Both ids are so near the beginning of a line.
const HEAD: usize = 256;
/// How far clocks, and the times of files, may be off.
const EARLIER: Duration = Duration::from_mins(1);
/// From a request's beginning to its last event.
const LONGEST_REQUEST: Duration = Duration::from_mins(15);

/// What a log has of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its events as they were written, oldest first.
    pub lines: Vec<String>,
    /// Whether there is a file that was looked into; else there is only what is kept in memory.
    pub in_files: bool,
    /// Whether nothing was left out for being too much.
    pub whole: bool,
}

impl Auditor {
    /// What is on record of a request, or of the event with this id: in our own files, and of the last refusals in memory.
    ///
    /// Reads files: not for a thread that others wait for. Of several replicas each has its own.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn find(&self, id: RequestId) -> io::Result<Found> {
        let mut found = match self.files().first() {
            Some(path) => lookup(path, id)?,
            None => Found { whole: true, ..Found::default() },
        };
        for line in self.recent().find(id) {
            // In a file it may have a hash after it.
            let start = line.trim_end_matches('}');
            if !found.lines.iter().any(|known| known.starts_with(start)) {
                found.lines.push(line);
            }
        }
        Ok(found)
    }

    /// Keeps in memory alone that a page was refused, of which there is no event: somebody may come with its id.
    pub fn keep_page(&self, request_id: RequestId, says: &str) {
        let now = self.clock().now();
        let event_id = EventId::at(now, self.random());
        let line = serde_json::json!({
            "event_id": event_id, "occurred_at": now, "request_id": request_id,
            "event_type": "page.refused", "payload": { "says": says },
        });
        self.recent().keep((request_id, event_id), line.to_string().as_bytes(), false);
    }
}

#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow)]
    event_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    request_id: std::borrow::Cow<'a, str>,
}

/// Looks for the events of a request, or for the one event with this id, where the id says when: first in the segments
/// of that time, then in the others, newest first.
///
/// Reads whole files of up to hundreds of megabytes: not for a thread that others wait for.
///
/// # Errors
///
/// A file cannot be read.
pub fn lookup(path: &Path, id: RequestId) -> io::Result<Found> {
    look(path, id, MOST_BYTES)
}

/// The same of a request of a moment ago: only the end of the log is read, so that it can be asked again and again until the
/// event is there.
///
/// # Errors
///
/// As of [`lookup`].
pub fn lookup_at_end(path: &Path, id: RequestId) -> io::Result<Found> {
    look_at_end(path, id, MOST_AT_END)
}

fn look_at_end(path: &Path, id: RequestId, most: u64) -> io::Result<Found> {
    let files = segments(path)?;
    let mut search = Search::of(id, most);
    let mut newest_first = files.iter().rev();
    while search.hits.is_empty()
        && search.left > 0
        && let Some(file) = newest_first.next()
    {
        search.read_end(file)?;
    }
    Ok(search.found(&files))
}

fn look(path: &Path, id: RequestId, most: u64) -> io::Result<Found> {
    let files = segments(path)?;
    let (likely, others) = in_order(&files, id.made_at())?;
    let mut search = Search::of(id, most);
    for file in &likely {
        search.read(file)?;
    }
    let mut others = others.iter();
    while search.hits.is_empty()
        && let Some(file) = others.next()
    {
        search.read(file)?;
        // A request may have begun in the segment before.
        if !search.hits.is_empty()
            && let Some(before) = others.next()
        {
            search.read(before)?;
        }
    }
    Ok(search.found(&files))
}

/// Those that were written to when the request was made, newest first, and the others, newest first.
fn in_order(
    files: &[PathBuf],
    made_at: Option<Timestamp>,
) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut before = None;
    let mut marked = Vec::new();
    for file in files {
        let ended = last_written(file)?;
        let fits = made_at.is_some_and(|made_at| {
            ended.plus(EARLIER) >= made_at
                && before.is_none_or(|before| before <= made_at.plus(LONGEST_REQUEST))
        });
        marked.push((fits, file.clone()));
        before = Some(ended);
    }
    let (likely, others): (Vec<_>, Vec<_>) = marked.into_iter().rev().partition(|(fits, _)| *fits);
    let files = |all: Vec<(bool, PathBuf)>| all.into_iter().map(|(_, file)| file).collect();
    Ok((files(likely), files(others)))
}

fn last_written(file: &Path) -> io::Result<Timestamp> {
    use std::os::unix::fs::MetadataExt;
    Ok(Timestamp::from_unix_seconds(file.metadata()?.mtime()))
}

struct Search {
    id: String,
    /// Bytes that may still be read.
    left: u64,
    hits: Vec<(PathBuf, u64, String)>,
    whole: bool,
}

impl Search {
    fn of(id: RequestId, most: u64) -> Self {
        Self { id: id.to_string(), left: most, hits: Vec::new(), whole: true }
    }

    /// Newest file first, and within a file oldest line first: the order of the log is by file, then by line.
    fn found(self, files: &[PathBuf]) -> Found {
        let Self { mut hits, whole, .. } = self;
        hits.sort_by_key(|(file, line, _)| (files.iter().position(|known| known == file), *line));
        let lines = hits.into_iter().map(|(.., line)| line).collect();
        Found { lines, in_files: true, whole }
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        match open(path)? {
            Some(file) => self.read_on(path, file),
            None => Ok(()),
        }
    }

    /// As much of its end as may still be read.
    fn read_end(&mut self, path: &Path) -> io::Result<()> {
        let Some(mut file) = open(path)? else { return Ok(()) };
        // Most likely in the middle of a line, which is none then.
        let from = file.metadata()?.len().saturating_sub(self.left);
        self.whole &= from == 0;
        file.seek(SeekFrom::Start(from))?;
        self.read_on(path, file)
    }

    fn read_on(&mut self, path: &Path, file: File) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            let most = LONGEST_LINE.min(self.left);
            let read = reader.by_ref().take(most).read_until(b'\n', &mut line)?;
            if read == 0 {
                self.whole &= self.left > 0;
                return Ok(());
            }
            self.left -= u64::try_from(read).unwrap_or(self.left);
            number += 1;
            if self.is_of_it(&line) {
                if self.hits.len() >= MOST_LINES {
                    self.whole = false;
                    return Ok(());
                }
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                self.hits.push((path.to_owned(), number, line));
            }
        }
    }

    /// The cheap question first: nearly no line is parsed.
    fn is_of_it(&self, line: &[u8]) -> bool {
        let head = line.get(..HEAD).unwrap_or(line);
        if !head.windows(self.id.len()).any(|part| part == self.id.as_bytes()) {
            return false;
        }
        let ids: Result<Ids<'_>, _> = serde_json::from_slice(line);
        ids.is_ok_and(|ids| ids.request_id == self.id || ids.event_id == self.id)
    }
}

/// `None`: retention was faster.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;

    const ID: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
    /// Made by somebody else, in another way.
    const CHOSEN: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

    fn line(request: &str, rest: &str) -> String {
        format!(
            "{{\"schema_version\":\"v0.1.0\",\"event_id\":\"0192f0c1-0000-7000-8000-000000000000\",\"request_id\":\"{request}\",{rest}\"payload\":{{}}}}\n"
        )
    }

    /// Segments, oldest first, each last written to this many hours after the id was made; the last is the current one.
    fn log(segments: &[(i64, String)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("audit.jsonl");
        let made_at = ID.parse::<RequestId>().unwrap().made_at().unwrap();
        for (number, (hours, text)) in segments.iter().enumerate() {
            let older = folder.path().join(format!("audit.{:06}.jsonl", number + 1));
            let path = if number + 1 == segments.len() { &current } else { &older };
            fs::write(path, text).unwrap();
            let seconds = made_at.plus_seconds(hours * 3600).unix_seconds();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap());
            File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        }
        (folder, current)
    }

    fn found(path: &Path, id: &str, most: u64) -> Found {
        look(path, id.parse().unwrap(), most).unwrap()
    }

    #[test]
    fn events_are_found_across_a_rotation_in_their_order() {
        let other = line(CHOSEN, "");
        let (_folder, path) = log(&[
            (-5, other.clone()),
            (0, other.clone() + &line(ID, "\"n\":1,")),
            (1, line(ID, "\"n\":2,") + &other),
            (9, other),
        ]);
        let found = found(&path, ID, MOST_BYTES);
        assert!(found.whole && found.in_files);
        let numbers: Vec<_> = found.lines.iter().map(|line| line.contains("\"n\":1,")).collect();
        assert_eq!(numbers, [true, false]);
    }

    #[test]
    fn an_id_that_says_no_time_is_looked_for_from_the_newest_on() {
        let (_folder, path) = log(&[(-5, line(CHOSEN, "")), (9, line(ID, ""))]);
        assert_eq!(found(&path, CHOSEN, MOST_BYTES).lines.len(), 1);
    }

    #[test]
    fn a_log_of_another_time_is_not_read_first() {
        let filler = line(CHOSEN, "").repeat(100);
        let (_folder, path) = log(&[(1, line(ID, "")), (5, filler.clone()), (9, filler)]);
        let found = found(&path, ID, 300);
        assert_eq!(found.lines.len(), 1, "the budget would not have lasted for the newer ones");
    }

    #[test]
    fn what_was_left_out_is_said() {
        let (_folder, path) = log(&[(0, line(CHOSEN, "").repeat(100) + &line(ID, ""))]);
        let found = found(&path, ID, 300);
        assert_eq!((found.lines.len(), found.whole), (0, false));
    }

    #[test]
    fn of_a_request_of_a_moment_ago_only_the_end_of_the_log_is_read() {
        let at_end = |path: &Path, most| look_at_end(path, ID.parse().unwrap(), most).unwrap();
        let (filler, own) = (line(CHOSEN, "").repeat(100), line(ID, ""));
        let room = 2 * own.len() as u64 + 7;
        let (_folder, path) = log(&[(0, filler.clone() + &own)]);
        assert_eq!(at_end(&path, room).lines, [own.trim_end()]);
        // The log went on in another file a moment ago.
        let (_folder, path) = log(&[(0, filler.clone() + &own), (0, line(CHOSEN, ""))]);
        assert_eq!(at_end(&path, room).lines, [own.trim_end()]);
        let (_folder, path) = log(&[(0, own.clone() + &filler)]);
        let found = at_end(&path, room);
        assert_eq!((found.lines.len(), found.whole), (0, false));
    }

    #[test]
    fn an_id_elsewhere_in_a_line_is_no_hit() {
        let name = format!("\"requester_id\":\"{ID}\",");
        let (_folder, path) = log(&[(0, line(CHOSEN, &name) + &line(ID, "")[..60] + "\n{}\nx\n")]);
        assert_eq!(found(&path, ID, MOST_BYTES).lines, [""; 0]);
    }

    #[test]
    fn nobody_makes_us_keep_a_whole_log_by_one_id() {
        let (_folder, path) = log(&[(0, line(ID, "").repeat(1000))]);
        let found = found(&path, ID, MOST_BYTES);
        assert_eq!((found.lines.len(), found.whole), (MOST_LINES, false));
    }
}
