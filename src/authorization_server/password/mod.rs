//! Passwords of local users: which ones are taken, and Argon2id in a pool of its own.

mod new_password;
mod pool;

pub use new_password::{NewPassword, WeakPassword};
pub use pool::{PasswordPool, PoolBusy};
