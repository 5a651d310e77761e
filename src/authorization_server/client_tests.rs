//! Clients against a real store and real sockets: metadata documents, registration, authentication.

mod authentication;
mod documents;
mod keys;
mod management;
mod registration;
mod support;
