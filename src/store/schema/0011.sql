-- Calls at a time that replicas share: how many places of one limit each of them has, and until when, in microseconds since 1970.
CREATE TABLE places (
  place_key BLOB NOT NULL, owner BLOB NOT NULL, organisation TEXT NOT NULL DEFAULT 'default',
  held BIGINT NOT NULL, ends_at BIGINT NOT NULL, PRIMARY KEY (place_key, owner));
CREATE INDEX places_end ON places (ends_at);
-- An approval that was once seen to be late stays so, whatever the clock says after the next start.
ALTER TABLE approvals ADD COLUMN late BIGINT NOT NULL DEFAULT 0;
CREATE INDEX approvals_not_late ON approvals (expires_at) WHERE late = 0 AND state <> 'used';
