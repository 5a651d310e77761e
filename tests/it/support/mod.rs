//! What several topics set up and look at.

pub(crate) mod audit;
