-- Identity providers that were added while brokers run, beside those of the settings. `settings` is JSON and has no secret.
CREATE TABLE identity_providers (
  id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', issuer TEXT NOT NULL UNIQUE,
  groups_prefix TEXT NOT NULL UNIQUE, settings TEXT NOT NULL, created_at BIGINT NOT NULL, disabled_at BIGINT);
