-- Whether a passkey opens an account by itself: since a new password not before it was shown beside that one.
ALTER TABLE passkeys ADD COLUMN alone BIGINT NOT NULL DEFAULT 1;
