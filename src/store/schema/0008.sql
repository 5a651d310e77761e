-- The key that whoever uses a code or a refresh token must hold (RFC 9449).
ALTER TABLE codes ADD COLUMN dpop_jkt TEXT;
ALTER TABLE refresh_tokens ADD COLUMN dpop_jkt TEXT;
