-- Of who logs in with passkeys and has no password: random, new whenever a passkey takes a password's place. No secret.
ALTER TABLE users ADD COLUMN passkey_login TEXT;
