-- The log-in that a session or a grant comes from: our `sid`, the identity provider with its own, and how it was done.
ALTER TABLE sessions ADD COLUMN sid TEXT;
ALTER TABLE sessions ADD COLUMN issuer TEXT;
ALTER TABLE sessions ADD COLUMN issuer_sid TEXT;
ALTER TABLE sessions ADD COLUMN acr TEXT;
ALTER TABLE sessions ADD COLUMN amr TEXT;
CREATE INDEX sessions_issuer_sid ON sessions (issuer_sid) WHERE issuer_sid IS NOT NULL;
ALTER TABLE grants ADD COLUMN sid TEXT;
ALTER TABLE grants ADD COLUMN issuer TEXT;
ALTER TABLE grants ADD COLUMN issuer_sid TEXT;
ALTER TABLE grants ADD COLUMN amr TEXT;
CREATE INDEX grants_sid ON grants (sid) WHERE sid IS NOT NULL;
CREATE INDEX grants_issuer_sid ON grants (issuer_sid) WHERE issuer_sid IS NOT NULL;
-- Clients that are still to be told that a log-in is over.
CREATE TABLE logout_notices (
  sid TEXT NOT NULL, client_id TEXT NOT NULL, organisation TEXT NOT NULL DEFAULT 'default', user_id TEXT NOT NULL,
  attempts BIGINT NOT NULL, next_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, PRIMARY KEY (sid, client_id));
CREATE INDEX logout_notices_next ON logout_notices (next_at);
CREATE INDEX logout_notices_end ON logout_notices (expires_at);
