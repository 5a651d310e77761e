//! Cuts what a child writes into lines of bounded length.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What is read at once.
const READ: usize = 16 * 1024;
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
    /// Of a line that is too long: what was thrown away of it.
    discarded: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Without its end.
    Line(Bytes),
    /// A line that is too long; what is left of it is thrown away.
    TooLong,
    /// A line that does not end.
    Endless,
    /// Nothing comes any more.
    End,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// `longest` in bytes.
    pub(super) fn new(from: R, longest: usize) -> Self {
        Self { from, buffer: BytesMut::new(), searched: 0, longest, discarded: 0 }
    }

    /// Not safe to be dropped in the middle of a line that is too long.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(line) = self.line() {
                match std::mem::take(&mut self.discarded) {
                    0 if line.len() > self.longest => return Next::TooLong,
                    0 => return Next::Line(line),
                    _ => continue,
                }
            }
            if self.buffer.len() > self.longest {
                let first = self.discarded == 0;
                self.discarded = self.discarded.saturating_add(self.buffer.len());
                self.buffer.clear();
                self.searched = 0;
                if self.discarded > self.longest.saturating_mul(ENDLESS) {
                    return Next::Endless;
                }
                if first {
                    return Next::TooLong;
                }
            }
            self.buffer.reserve(READ);
            match self.from.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Next::End,
            }
        }
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
        let found = all(&format!("{long}\nb\n"), 4_096).await;
        assert_eq!(found, [Next::TooLong, Next::Line("b".into()), Next::End]);
        let endless = "x".repeat(ENDLESS * READ * 2);
        assert_eq!(all(&endless, 4_096).await, [Next::TooLong, Next::Endless]);
    }
}
