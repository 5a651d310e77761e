//! The commands of `broker`, one file each.

pub mod audit;
pub mod check;
pub mod config;
