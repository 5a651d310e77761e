-- Which key-encryption key what is sealed anew is sealed with: its id, and that of the first one, which values that name none
-- have. And what other secrets are derived from, sealed with that key: it stays the same whatever key seals it.
CREATE TABLE sealing (
  name TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', key_id TEXT NOT NULL,
  first_key_id TEXT NOT NULL, root TEXT NOT NULL);
-- Brokers that run, the keys that each of them has, and until when that counts, in microseconds since 1970.
CREATE TABLE sealing_brokers (
  broker BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', key_ids TEXT NOT NULL,
  ends_at BIGINT NOT NULL);
