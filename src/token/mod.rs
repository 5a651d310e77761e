//! Tokens for the provider: obtained with the broker's own credential, cached, never shown.
