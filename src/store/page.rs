//! Lists come in pages.

/// Which part of a list. Rows are ordered by their key.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// The key of the last row of the page before. `None`: from the start.
    pub after: Option<String>,
    /// At most this many; the store gives 200 at most.
    pub limit: u32,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// What to pass as `after` for the next page; `None` at the end.
    pub next: Option<String>,
}
