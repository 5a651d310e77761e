-- What an identity provider gave with a log-in, to ask it with whether it still stands by who that is: sealed. It is not asked
-- before `ask_at`, and by one at a time.
CREATE TABLE provider_tokens (
  organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL, issuer TEXT NOT NULL, sealed TEXT NOT NULL,
  version BIGINT NOT NULL, claimed_until BIGINT NOT NULL, ask_at BIGINT NOT NULL, heard_at BIGINT NOT NULL,
  PRIMARY KEY (user_id, issuer));
-- When somebody last logged in there. Nothing: before that was written down.
ALTER TABLE identities ADD COLUMN logged_in_at BIGINT;
