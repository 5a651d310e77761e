//! What people see: server-rendered pages that load nothing from anywhere else, and need no script but for a passkey.
//!
//! Every page carries its own strict Content-Security-Policy (CSP Level 3), is never cached, never framed (RFC 6749
//! §10.13) and sends no referrer (RFC 9700 §4.2.4).

mod error_page;
mod fault;
mod form;
mod response;
mod scope_words;
mod script;
mod text;
mod when;

pub use error_page::{ErrorPage, Link, error_page};
pub(crate) use fault::{Fault, RefusedRequest};
pub(crate) use form::PageForm;
pub(crate) use response::{Forms, page, page_with_script, see_other};
pub use scope_words::OwnWords;
pub(crate) use scope_words::{ScopeWords, in_words};
pub(crate) use script::{SCRIPT_INTEGRITY, SCRIPT_PATH, script};
pub(crate) use text::{clean, clean_to, query_value};
pub(crate) use when::when;

/// The one style sheet, part of every page: `style-src` names it by its hash.
pub(crate) const STYLE: &str = include_str!("../../../templates/style.css");
