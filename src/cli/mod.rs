//! The commands of `broker`, one file each.

pub mod audit;
