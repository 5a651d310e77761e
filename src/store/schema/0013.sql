-- People's authenticator apps (RFC 6238): the secret, sealed, and the newest time step of which a code was used. And what
-- opens when the app is lost: digests, each gone once it was used.
CREATE TABLE authenticators (
  user_id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', sealed TEXT NOT NULL,
  last_step BIGINT NOT NULL, confirmed_at BIGINT NOT NULL);
CREATE TABLE recovery_codes (
  code BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL);
CREATE INDEX recovery_codes_user ON recovery_codes (user_id);
