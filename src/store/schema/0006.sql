-- What people have allowed at servers behind us. Their tokens are sealed; `version` counts what was put there, and
-- `claimed_until` says who is renewing them.
CREATE TABLE upstream_accounts (
  organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL, server TEXT NOT NULL, sealed TEXT NOT NULL,
  version BIGINT NOT NULL, claimed_until BIGINT NOT NULL, connected_at BIGINT NOT NULL,
  PRIMARY KEY (user_id, server));
-- Our own client ids at authorization servers that registered us, sealed with their secrets.
CREATE TABLE upstream_clients (
  server TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL);
