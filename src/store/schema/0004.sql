-- Whether an identity provider left groups out because there were too many.
ALTER TABLE users ADD COLUMN groups_incomplete BIGINT NOT NULL DEFAULT 0;
-- A client was disabled: its tokens that were issued up to then (seconds since 1970) are good for nothing.
ALTER TABLE revocations ADD COLUMN client_id TEXT;
ALTER TABLE revocations ADD COLUMN issued_until BIGINT;
