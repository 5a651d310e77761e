-- Where the MCP endpoint of a server is that is reached through this broker. NULL: its clients reach it themselves.
ALTER TABLE resources ADD COLUMN url TEXT;
