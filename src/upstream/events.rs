//! Server-sent events (WHATWG HTML §9.2), one whole event at a time.
//!
//! Only their data is kept. `id` and `retry` go: a stream that could be taken up again elsewhere would carry answers that
//! nobody looked at on their way (MCP 2026-07-28 has no resumption).

use bytes::{Buf as _, Bytes, BytesMut};

/// Cuts a stream into events.
#[derive(Debug)]
pub(super) struct Events {
    buffer: BytesMut,
    /// Already searched for the end of an event.
    searched: usize,
    most: usize,
}

/// An event is larger than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Events {
    /// `most` bytes for one event.
    pub(super) fn new(most: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, most }
    }

    /// Bytes that are in no event yet that was handed out.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Those bytes. Nothing is left here.
    pub(super) fn rest(&mut self) -> Bytes {
        self.searched = 0;
        self.buffer.split().freeze()
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The data of the next whole event; empty for one that has none (a comment: the stream lives).
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLarge> {
        let Some((length, end)) = self.find() else {
            return if self.buffer.len() > self.most { Err(TooLarge) } else { Ok(None) };
        };
        if length > self.most {
            return Err(TooLarge);
        }
        let event = self.buffer.split_to(length).freeze();
        self.buffer.advance(end);
        self.searched = 0;
        Ok(Some(data(&event)))
    }

    /// Where the first blank line is: the bytes before it, and its own length with the line end before it.
    fn find(&mut self) -> Option<(usize, usize)> {
        let from = self.searched.saturating_sub(3);
        let bytes = self.buffer.get(from..)?;
        for (at, window) in bytes.windows(2).enumerate() {
            let end = match window {
                b"\n\n" | b"\r\r" => 2,
                b"\n\r" if bytes.get(at + 2) == Some(&b'\n') => 3,
                _ => continue,
            };
            return Some((from + at, end));
        }
        self.searched = self.buffer.len();
        None
    }
}

/// What is after `data:` on each line, joined.
fn data(event: &Bytes) -> Bytes {
    let mut found: Option<BytesMut> = None;
    let mut first: Option<Bytes> = None;
    for line in event.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(value) = line.strip_prefix(b"data:") else { continue };
        let value = event.slice_ref(value.strip_prefix(b" ").unwrap_or(value));
        match (&mut found, &first) {
            (Some(all), _) => {
                all.extend_from_slice(b"\n");
                all.extend_from_slice(&value);
            }
            (None, Some(before)) => {
                let mut all = BytesMut::from(&before[..]);
                all.extend_from_slice(b"\n");
                all.extend_from_slice(&value);
                found = Some(all);
            }
            (None, None) => first = Some(value),
        }
    }
    found.map(BytesMut::freeze).or(first).unwrap_or_default()
}

/// One event with this data.
pub(super) fn event(data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 32);
    event.extend_from_slice(b"event: message\n");
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.extend_from_slice(b"\n");
    }
    event.extend_from_slice(b"\n");
    event.freeze()
}

/// Tells that the stream lives.
pub(super) const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&str]) -> Vec<String> {
        let mut events = Events::new(64);
        let mut found = Vec::new();
        for chunk in chunks {
            events.add(chunk.as_bytes());
            while let Some(data) = events.next().unwrap() {
                found.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        found
    }

    #[test]
    fn events_are_found_however_the_bytes_arrive() {
        let whole = "event: message\ndata: {\"a\":1}\n\n: ping\n\ndata:x\ndata: y\nid: 7\n\n";
        let expected = ["{\"a\":1}", "", "x\ny"];
        assert_eq!(all(&[whole]), expected);
        let bytes: Vec<String> = whole.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(all(&bytes), expected);
        let crlf = whole.replace('\n', "\r\n");
        assert_eq!(all(&[&crlf]), expected);
    }

    #[test]
    fn an_event_without_an_end_is_not_kept_for_ever() {
        let mut events = Events::new(64);
        events.add(&[b'x'; 65]);
        assert_eq!(events.next(), Err(TooLarge));
    }

    #[test]
    fn data_cannot_begin_an_event_of_its_own() {
        let written = event(b"{\n\r\n\"a\": 1\r}");
        assert_eq!(written, "event: message\ndata: {\ndata: \ndata: \ndata: \"a\": 1\ndata: }\n\n");
    }
}
