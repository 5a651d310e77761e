-- With which clients may register themselves where that needs one (RFC 7591 §3): digests, how often, until when.
CREATE TABLE registration_tokens (
  prefix TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', token_digest BLOB NOT NULL, name TEXT,
  uses BIGINT NOT NULL, most_uses BIGINT NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
  last_used_at BIGINT);
CREATE INDEX registration_tokens_end ON registration_tokens (expires_at);
