//! The settings: read once, checked whole, parsed into types that cannot be wrong.

mod model;

pub use model::*;
