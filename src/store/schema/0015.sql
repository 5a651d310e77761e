-- People's passkeys (WebAuthn): the public key as it was registered, and what changes with each use. `user_handle` is what
-- authenticators know the person by: random, and the same for all passkeys of one person.
CREATE TABLE passkeys (
  credential_id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL,
  user_handle TEXT NOT NULL, credential TEXT NOT NULL, sign_count BIGINT NOT NULL, backed_up BIGINT NOT NULL,
  name TEXT NOT NULL, created_at BIGINT NOT NULL, last_used_at BIGINT);
CREATE INDEX passkeys_user ON passkeys (user_id);
