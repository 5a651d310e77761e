//! The pages from a browser's side: a cookie jar, forms as they are served, a clock that is moved.

mod browser;
mod consent;
mod fake_store;
mod login;
mod made_up;
mod passkey_alone;
mod passkey_bounds;
mod passkey_changes;
mod passkeys;
mod second_factor;
mod second_factor_required;
mod software_passkey;
mod step_up;
mod support;
mod throttle;
mod two_tabs;
mod upstream;
