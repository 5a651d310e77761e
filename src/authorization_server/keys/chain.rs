//! Which keys sign: one with the algorithm of most tokens, and one with each other that some resources want.

use crate::store::{SigningKeyRow, SigningKeyState};
use crate::time::Timestamp;

use super::algorithm::SigningAlgorithm;

/// The algorithms in use. Keys of each follow each other and never take another's place.
#[derive(Clone, Debug)]
pub struct Algorithms {
    default: SigningAlgorithm,
    beside: Vec<SigningAlgorithm>,
}

impl Algorithms {
    /// `wanted` by single resources, beside that of all others.
    #[must_use]
    pub fn new(
        default: SigningAlgorithm,
        wanted: impl IntoIterator<Item = SigningAlgorithm>,
    ) -> Self {
        let mut beside = Vec::new();
        for algorithm in wanted {
            if algorithm != default && !beside.contains(&algorithm) {
                beside.push(algorithm);
            }
        }
        Self { default, beside }
    }

    pub(super) const fn default(&self) -> SigningAlgorithm {
        self.default
    }

    pub(super) fn beside(&self) -> &[SigningAlgorithm] {
        &self.beside
    }

    /// The default first.
    pub(super) fn all(&self) -> impl Iterator<Item = SigningAlgorithm> + '_ {
        std::iter::once(self.default).chain(self.beside.iter().copied())
    }

    /// Which rows sign, that of the default first: of each the one that came last, the same for everybody who sees the
    /// same rows with the same settings.
    pub(super) fn signers(&self, rows: &[SigningKeyRow], now: Timestamp) -> Vec<usize> {
        let beside = self.beside.iter();
        let beside = beside.filter_map(|algorithm| last(rows, now, |row| is(row, *algorithm)));
        self.signer(rows, now).into_iter().chain(beside).collect()
    }

    /// Of the default. Until its first key has come, what signed before goes on; where nothing has come yet (a clock that
    /// is behind), it is the key that comes first.
    fn signer(&self, rows: &[SigningKeyRow], now: Timestamp) -> Option<usize> {
        last(rows, now, |row| is(row, self.default))
            .or_else(|| last(rows, now, |row| !self.is_beside(row)))
            .or_else(|| {
                let usable = rows.iter().enumerate().filter(|(_, row)| is_usable(row));
                usable.min_by_key(|(_, row)| order(row)).map(|(at, _)| at)
            })
    }

    /// Whether another row signs in its stead: a later one of the same algorithm, or, for an algorithm that is in use no
    /// more, that of the default.
    pub(super) fn is_replaced(
        &self,
        row: &SigningKeyRow,
        rows: &[SigningKeyRow],
        now: Timestamp,
    ) -> bool {
        let signer = match self.beside.iter().find(|algorithm| is(row, **algorithm)) {
            Some(algorithm) => last(rows, now, |other| is(other, *algorithm)),
            None => self.signer(rows, now),
        };
        let signer = signer.and_then(|at| rows.get(at));
        // Two that came at once replace each other only within one algorithm: another replica may use the other one.
        let is_later = |signer: &SigningKeyRow| {
            if signer.algorithm == row.algorithm {
                order(row) < order(signer)
            } else {
                row.not_before < signer.not_before
            }
        };
        is_usable(row) && signer.is_some_and(is_later)
    }

    fn is_beside(&self, row: &SigningKeyRow) -> bool {
        self.beside.iter().any(|algorithm| is(row, *algorithm))
    }
}

/// The usable row of this kind that came last.
fn last(
    rows: &[SigningKeyRow],
    now: Timestamp,
    kind: impl Fn(&SigningKeyRow) -> bool,
) -> Option<usize> {
    let come = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| is_usable(row) && row.not_before <= now && kind(row));
    come.max_by_key(|(_, row)| order(row)).map(|(at, _)| at)
}

pub(super) fn is(row: &SigningKeyRow, algorithm: SigningAlgorithm) -> bool {
    row.algorithm == algorithm.as_str()
}

pub(super) fn is_usable(row: &SigningKeyRow) -> bool {
    row.state == SigningKeyState::Usable
}

fn order(row: &SigningKeyRow) -> (Timestamp, &str) {
    (row.not_before, &row.kid)
}
