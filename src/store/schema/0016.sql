-- Definitions of tools at servers behind us, as they were approved: by somebody, or because none was seen before. What the server
-- says now, where that is another, waits for somebody to approve it.
CREATE TABLE tool_pins (
  server TEXT NOT NULL, tool TEXT NOT NULL, organisation TEXT NOT NULL DEFAULT 'default',
  digest TEXT NOT NULL, definition TEXT, approved_at BIGINT NOT NULL, approved_by TEXT,
  found_digest TEXT, found_definition TEXT, found_at BIGINT, told_at BIGINT, PRIMARY KEY (server, tool));
-- Each server that has any: what counts up with every change, how many they are, how many characters of definitions are kept,
-- and when a broker served it last.
CREATE TABLE tool_pin_servers (
  server TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', version BIGINT NOT NULL, pins BIGINT NOT NULL,
  kept BIGINT NOT NULL, served_at BIGINT NOT NULL);
-- Accounts that ended by themselves, until their tokens were given back to who gave them (RFC 7009).
CREATE TABLE ended_accounts (
  user_id TEXT NOT NULL, server TEXT NOT NULL, version BIGINT NOT NULL, organisation TEXT NOT NULL DEFAULT 'default',
  sealed TEXT NOT NULL, connected_at BIGINT NOT NULL, attempts BIGINT NOT NULL, next_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL, PRIMARY KEY (user_id, server, version));
CREATE INDEX ended_accounts_next ON ended_accounts (next_at);
CREATE INDEX ended_accounts_end ON ended_accounts (expires_at);
