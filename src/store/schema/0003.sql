-- Rates that replicas share: until when the calls that were taken last, in microseconds since 1970.
CREATE TABLE rates (
  rate_key BLOB PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', taken_until BIGINT NOT NULL);
CREATE INDEX rates_end ON rates (taken_until);
