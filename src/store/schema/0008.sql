-- Devices that wait for a person (RFC 8628). An answered one stays until its end: a device that comes late is told so.
CREATE TABLE device_requests (
  device_code BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', user_code BLOB NOT NULL UNIQUE,
  client_id TEXT NOT NULL, parameters TEXT NOT NULL, state TEXT NOT NULL, session BLOB, polled_at BIGINT,
  wait_ms BIGINT NOT NULL, expires_at BIGINT NOT NULL);
CREATE INDEX device_requests_end ON device_requests (expires_at);
-- The key that whoever uses a code or a refresh token must hold (RFC 9449).
ALTER TABLE codes ADD COLUMN dpop_jkt TEXT;
ALTER TABLE refresh_tokens ADD COLUMN dpop_jkt TEXT;
