//! What several topics set up and look at.

pub(crate) mod audit;
pub(crate) mod backends;
pub(crate) mod child;
pub(crate) mod fake_http;
pub(crate) mod free_port;
pub(crate) mod metadata_service;
pub(crate) mod national;
pub(crate) mod not_looked_at;
pub(crate) mod product;
pub(crate) mod proxy;
pub(crate) mod raw_http;
pub(crate) mod relay;
pub(crate) mod tokens;
pub(crate) mod until;
