//! The one integration binary: everything here goes through the crate's public interface.
