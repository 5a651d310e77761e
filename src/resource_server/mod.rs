//! OAuth 2.0 resource server (RFC 6750, RFC 9728, RFC 9068) as a tower layer.
