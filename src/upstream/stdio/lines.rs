//! Cuts what a child writes into lines of bounded length.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What is read at once.
const READ: usize = 16 * 1024;
/// What is kept of each end of a line that is too long: whose answer it is stands in one of them.
const KEPT: usize = 256;
/// How many times the longest line is thrown away before a line counts as one without an end.
const ENDLESS: usize = 16;

/// The lines of a stream.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    buffer: BytesMut,
    /// Already searched for a line end.
    searched: usize,
    longest: usize,
    /// Of a line that is too long: what was thrown away of it, where it begins, and where it ends as far as it came.
    discarded: usize,
    beginning: Bytes,
    end: Bytes,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Without its end.
    Line(Bytes),
    /// A line that was too long, and was thrown away but for where it begins and ends.
    TooLong(Bytes, Bytes),
    /// A line that does not end.
    Endless,
    /// Nothing comes any more.
    End,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// `longest` in bytes.
    pub(super) fn new(from: R, longest: usize) -> Self {
        let (beginning, end) = (Bytes::new(), Bytes::new());
        let buffer = BytesMut::new();
        Self { from, buffer, searched: 0, longest, discarded: 0, beginning, end }
    }

    /// Not safe to be dropped in the middle of a line that is too long.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(line) = self.line() {
                if self.discarded == 0 && line.len() <= self.longest {
                    return Next::Line(line);
                }
                self.discard(&line);
                self.discarded = 0;
                return Next::TooLong(
                    std::mem::take(&mut self.beginning),
                    std::mem::take(&mut self.end),
                );
            }
            if self.buffer.len() > self.longest {
                let part = self.buffer.split().freeze();
                self.searched = 0;
                self.discard(&part);
                if self.discarded > self.longest.saturating_mul(ENDLESS) {
                    return Next::Endless;
                }
            }
            self.buffer.reserve(READ);
            match self.from.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Next::End,
            }
        }
    }

    fn discard(&mut self, part: &[u8]) {
        if self.discarded == 0 {
            self.beginning = Bytes::copy_from_slice(part.get(..KEPT).unwrap_or(part));
        }
        self.discarded = self.discarded.saturating_add(part.len());
        let end = [&*self.end, part].concat();
        let from = end.len().saturating_sub(KEPT);
        self.end = Bytes::copy_from_slice(end.get(from..).unwrap_or_default());
    }

    fn line(&mut self) -> Option<Bytes> {
        let new = self.buffer.get(self.searched..)?;
        let Some(at) = new.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &str, longest: usize) -> Vec<Next> {
        let mut lines = Lines::new(text.as_bytes(), longest);
        let mut found = Vec::new();
        while found.last() != Some(&Next::End) && found.last() != Some(&Next::Endless) {
            found.push(lines.next().await);
        }
        found
    }

    #[tokio::test]
    async fn lines_are_cut_and_what_has_no_end_is_none() {
        let line = |text: &'static str| Next::Line(text.into());
        let expected = [line("a"), line(""), line("b\r"), Next::End];
        assert_eq!(all("a\n\nb\r\nrest", 9).await, expected);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_left_out_and_one_without_an_end_is_not_read_for_ever() {
        let long = "x".repeat(READ + 1);
        let found = all(&format!("a{long}z\nb\n"), 4_096).await;
        let (beginning, end) = (&format!("a{long}")[..KEPT], "x".repeat(KEPT - 1) + "z");
        let too_long = Next::TooLong(beginning.to_owned().into(), end.into());
        assert_eq!(found, [too_long, Next::Line("b".into()), Next::End]);
        let endless = "x".repeat(ENDLESS * READ * 2);
        assert_eq!(all(&endless, 4_096).await, [Next::Endless]);
    }
}
