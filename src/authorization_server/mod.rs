//! OAuth 2.1 authorization server. Today: its signing keys.
