-- Before a table is altered, which nobody may read from then on until all is done.
CREATE INDEX grants_resource ON grants (resource, id);
CREATE INDEX consents_client ON consents (client_id);
CREATE INDEX consents_resource ON consents (resource);
-- Of who logs in with passkeys and has no password: random, new whenever a passkey takes a password's place. No secret.
ALTER TABLE users ADD COLUMN passkey_login TEXT;
