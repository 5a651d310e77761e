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
