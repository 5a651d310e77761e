//! What goes over sockets, through the crate's public interface.

// `cfg(test)` tells clippy that `unwrap` and the like are fine here.
#[cfg(test)]
mod interface;
#[cfg(test)]
mod introspection;
#[cfg(test)]
mod protect;
