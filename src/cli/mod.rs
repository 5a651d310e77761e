//! The commands of `broker`, one file each.
