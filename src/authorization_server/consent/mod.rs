//! `/consent`: a person decides what a client may do. Every client needs its own yes (MCP confused deputy, CD-1).

mod introduction;
mod page;
mod question;
mod receiver;

pub(crate) use introduction::{Introduction, Standing, introduce};
pub(crate) use page::{decide, show};
pub(crate) use question::{freshness, login_hint, receiver, wants_new_login};
pub(crate) use receiver::{Place, Receiver};
