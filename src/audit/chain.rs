//! The hash chain: each line names the one before it, so that a change in the middle shows.
//!
//! A sealed line ends in `,"seq":N,"prev_hash":"<64 hex>","hash":"<64 hex>"}`. The hash is SHA-256 over
//! the exact bytes of the line before `,"hash":"`. `prev_hash` is the `hash` of the line with the `seq`
//! before; line 1 has 64 zeros. The chain runs on across segments and restarts.
//!
//! It has no key: somebody who can write the files can also make a whole new chain, or cut lines off
//! the end. Note the last `seq` and `hash` elsewhere (`broker audit verify --anchor`) to see that too.

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::IgnoredAny;

const HASH: &[u8] = b",\"hash\":\"";
const PREV: &[u8] = b",\"prev_hash\":\"";
const SEQ: &[u8] = b",\"seq\":";
const HEX: usize = 64;

/// A SHA-256 in lower-case hex.
pub(super) type HexHash = [u8; HEX];

/// Where the chain stands: the last line's number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) hash: HexHash,
}

/// Before the first line.
pub(super) const GENESIS: Link = Link { seq: 0, hash: [b'0'; HEX] };

/// A line whose own hash is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) link: Link,
    pub(super) prev_hash: HexHash,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("is not sealed: it does not end in seq, prev_hash and hash")]
    NotSealed,
    #[error("is not JSON")]
    NotJson,
    #[error("was changed: its hash does not match its bytes")]
    HashMismatch,
    #[error(
        "has seq {found} where {expected} was expected: lines are missing, repeated or out of order"
    )]
    WrongSeq { expected: u64, found: u64 },
    #[error("does not continue the line before: prev_hash is another")]
    WrongPrevious,
    #[error("is torn: it has no end")]
    Torn,
    #[error("has another hash than the anchor for its seq")]
    NotTheAnchor,
}

impl Link {
    /// Appends the sealed form of `line` (a JSON object and a newline) to `out` and moves on.
    pub(super) fn seal(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let open = line.strip_suffix(b"}\n").unwrap_or(line);
        let seq = self.seq.saturating_add(1);
        out.extend_from_slice(open);
        out.extend_from_slice(SEQ);
        out.extend_from_slice(seq.to_string().as_bytes());
        out.extend_from_slice(PREV);
        out.extend_from_slice(&self.hash);
        out.push(b'"');
        let hash = sha256_hex(out.get(start..).unwrap_or_default());
        out.extend_from_slice(HASH);
        out.extend_from_slice(&hash);
        out.extend_from_slice(b"\"}\n");
        *self = Self { seq, hash };
    }
}

impl Sealed {
    /// Reads a line without its newline and checks its own hash. Not whether it follows another.
    pub(super) fn parse(unverified_line: &[u8]) -> Result<Self, LineFault> {
        let (hashed, hash) = split_suffix(unverified_line, HASH, b"\"}")?;
        let (rest, prev_hash) = split_suffix(hashed, PREV, b"\"")?;
        let seq = decimal_suffix(rest)?;
        if sha256_hex(hashed) != hash {
            return Err(LineFault::HashMismatch);
        }
        serde_json::from_slice::<IgnoredAny>(unverified_line).map_err(|_| LineFault::NotJson)?;
        Ok(Self { link: Link { seq, hash }, prev_hash })
    }

    /// Whether this line is the one after `before`.
    pub(super) fn follows(&self, before: Link) -> Result<(), LineFault> {
        let expected = before.seq.saturating_add(1);
        if self.link.seq != expected {
            return Err(LineFault::WrongSeq { expected, found: self.link.seq });
        }
        if self.prev_hash == before.hash { Ok(()) } else { Err(LineFault::WrongPrevious) }
    }
}

/// Splits `<rest><name><64 hex><end>` into the rest and the hex.
fn split_suffix<'a>(
    line: &'a [u8],
    name: &[u8],
    end: &[u8],
) -> Result<(&'a [u8], HexHash), LineFault> {
    let split = || {
        let open = line.strip_suffix(end)?;
        let (rest, hex) = open.split_last_chunk::<HEX>()?;
        let lower = hex.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Some((rest.strip_suffix(name)?, *hex)).filter(|_| lower)
    };
    split().ok_or(LineFault::NotSealed)
}

/// The number in `<rest>,"seq":<number>`, in the one spelling that `seal` gives it.
fn decimal_suffix(line: &[u8]) -> Result<u64, LineFault> {
    let digits = line.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (rest, number) = line.split_at(line.len() - digits);
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<u64>().ok());
    match number {
        Some(seq) if rest.ends_with(SEQ) && seq.to_string().len() == digits => Ok(seq),
        _ => Err(LineFault::NotSealed),
    }
}

pub(super) fn sha256_hex(bytes: &[u8]) -> HexHash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles =
        digest(&SHA256, bytes).as_ref().to_vec().into_iter().flat_map(|b| [b >> 4, b & 15]);
    let mut hex = [b'0'; HEX];
    for (place, nibble) in hex.iter_mut().zip(nibbles) {
        *place = DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(lines: &[&str]) -> Vec<String> {
        let (mut link, mut out) = (GENESIS, Vec::new());
        for line in lines {
            link.seal(format!("{line}\n").as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_hash_is_over_the_bytes_before_the_hash_member() {
        let line = &sealed(&[r#"{"a":1}"#])[0];
        let (hashed, _) = line.split_once(",\"hash\":").unwrap();
        let hash = sha256_hex(hashed.as_bytes());
        assert!(line.ends_with(&format!("{}\"}}", std::str::from_utf8(&hash).unwrap())));
        // printf %s '{"a":1,"seq":1,"prev_hash":"000…"' | sha256sum
        let empty = std::str::from_utf8(&sha256_hex(b"")).unwrap().to_owned();
        assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_line_follows_only_the_one_before_it() {
        let lines = sealed(&[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
        let parsed: Vec<_> =
            lines.iter().map(|line| Sealed::parse(line.as_bytes()).unwrap()).collect();
        assert_eq!(parsed[0].follows(GENESIS), Ok(()));
        assert_eq!(parsed[1].follows(parsed[0].link), Ok(()));
        let skipped = LineFault::WrongSeq { expected: 2, found: 3 };
        assert_eq!(parsed[2].follows(parsed[0].link), Err(skipped));
        let other = Link { seq: 1, hash: [b'1'; HEX] };
        assert_eq!(parsed[1].follows(other), Err(LineFault::WrongPrevious));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let line = &sealed(&[r#"{"event_type":"result.emitted","n":1}"#])[0];
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Sealed::parse(&bytes).is_err(), "byte {at}");
        }
    }
}
