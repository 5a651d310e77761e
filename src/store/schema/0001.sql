-- One text for both databases; BLOB is BYTEA and SEQUENCE is an identity column on PostgreSQL.
-- Times are milliseconds since 1970. Bearer artefacts are SHA-256 digests.
CREATE TABLE clients (
  id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', kind TEXT NOT NULL,
  metadata TEXT NOT NULL, metadata_digest BLOB NOT NULL, secret BLOB, previous_secret BLOB, previous_until BIGINT,
  created_at BIGINT NOT NULL, last_used_at BIGINT NOT NULL, expires_at BIGINT, disabled_at BIGINT);
CREATE INDEX clients_idle ON clients (last_used_at) WHERE kind = 'dynamic';
CREATE TABLE metadata_documents (
  url TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', body BLOB NOT NULL, digest BLOB NOT NULL,
  etag TEXT, fetched_at BIGINT NOT NULL, fresh_until BIGINT NOT NULL, gone_at BIGINT);
CREATE TABLE authorization_requests (
  handle BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', client_id TEXT NOT NULL,
  parameters TEXT NOT NULL, session BLOB, expires_at BIGINT NOT NULL);
CREATE INDEX authorization_requests_end ON authorization_requests (expires_at);
CREATE TABLE grants (
  id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT, client_id TEXT NOT NULL,
  scopes TEXT NOT NULL, resource TEXT NOT NULL, redirect_origin TEXT, client_digest BLOB, auth_time BIGINT,
  acr TEXT, extra TEXT, created_at BIGINT NOT NULL, last_used_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
  revoked_at BIGINT, revoke_reason TEXT);
CREATE INDEX grants_user ON grants (user_id, id);
CREATE INDEX grants_client ON grants (client_id, id);
CREATE INDEX grants_end ON grants (expires_at);
CREATE TABLE codes (
  code BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', grant_id TEXT NOT NULL,
  client_id TEXT NOT NULL, redirect_uri TEXT NOT NULL, code_challenge TEXT NOT NULL, nonce TEXT,
  scopes TEXT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT);
CREATE INDEX codes_end ON codes (expires_at);
-- A used token stays until its grant's end: else its reuse would look like an unknown token.
CREATE TABLE refresh_tokens (
  token BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', grant_id TEXT NOT NULL,
  client_id TEXT NOT NULL, scopes TEXT NOT NULL, expires_at BIGINT NOT NULL, keep_until BIGINT NOT NULL,
  used_at BIGINT, successor BLOB, sealed_reply BLOB, replay_until BIGINT);
CREATE INDEX refresh_tokens_end ON refresh_tokens (keep_until);
CREATE TABLE consents (
  organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL, client_id TEXT NOT NULL,
  redirect_class TEXT NOT NULL, resource TEXT NOT NULL, scopes TEXT NOT NULL, granted_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL, PRIMARY KEY (user_id, client_id, redirect_class, resource));
CREATE INDEX consents_end ON consents (expires_at);
-- Append only. `sequence` grows in the order of commits: who has read up to one has missed none before it.
CREATE TABLE revocations (
  sequence SEQUENCE, organisation TEXT NOT NULL DEFAULT 'default', grant_id TEXT, jti TEXT,
  expires_at BIGINT NOT NULL);
CREATE INDEX revocations_end ON revocations (expires_at);
CREATE TABLE assertions (
  organisation TEXT NOT NULL DEFAULT 'default', issuer TEXT NOT NULL, jti BLOB NOT NULL, expires_at BIGINT NOT NULL,
  PRIMARY KEY (issuer, jti));
CREATE INDEX assertions_end ON assertions (expires_at);
CREATE TABLE users (
  id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', username TEXT NOT NULL, display_name TEXT,
  email TEXT, password_hash TEXT, administrator BIGINT NOT NULL, member_of TEXT NOT NULL,
  created_at BIGINT NOT NULL, last_login_at BIGINT, disabled_at BIGINT, UNIQUE (organisation, username));
CREATE INDEX users_administrators ON users (id) WHERE administrator = 1;
CREATE TABLE identities (
  organisation TEXT NOT NULL DEFAULT 'default', issuer TEXT NOT NULL, subject TEXT NOT NULL, user_id TEXT NOT NULL,
  PRIMARY KEY (issuer, subject));
CREATE INDEX identities_user ON identities (user_id);
CREATE TABLE sessions (
  session BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT, auth_time BIGINT, method TEXT,
  pending TEXT, created_at BIGINT NOT NULL, last_seen_at BIGINT NOT NULL, expires_at BIGINT NOT NULL);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_end ON sessions (expires_at);
CREATE TABLE links (
  link BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL, purpose TEXT NOT NULL,
  expires_at BIGINT NOT NULL);
CREATE INDEX links_user ON links (user_id);
CREATE INDEX links_end ON links (expires_at);
CREATE TABLE login_failures (
  attempt_key TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', failures BIGINT NOT NULL,
  last_failure_at BIGINT NOT NULL);
CREATE INDEX login_failures_end ON login_failures (last_failure_at);
CREATE TABLE resources (
  id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', uri TEXT NOT NULL, aliases TEXT NOT NULL,
  name TEXT NOT NULL, description TEXT, owner TEXT, scopes TEXT NOT NULL, access_token_ttl_seconds BIGINT,
  created_at BIGINT NOT NULL, disabled_at BIGINT);
-- Every URI and alias of every resource: none belongs to two.
CREATE TABLE resource_uris (
  uri TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', resource_id TEXT NOT NULL);
CREATE INDEX resource_uris_resource ON resource_uris (resource_id);
CREATE TABLE api_keys (
  prefix TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', key_digest BLOB NOT NULL,
  resource_id TEXT NOT NULL, name TEXT, created_at BIGINT NOT NULL, expires_at BIGINT, last_used_at BIGINT,
  revoked_at BIGINT);
CREATE INDEX api_keys_resource ON api_keys (resource_id, prefix);
CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', algorithm TEXT NOT NULL,
  public_jwk TEXT NOT NULL, private BLOB NOT NULL, state TEXT NOT NULL, created_at BIGINT NOT NULL,
  not_before BIGINT NOT NULL, retire_at BIGINT);
