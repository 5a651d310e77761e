-- How a server that is reached through this broker is called, beyond its URL: JSON. NULL: as nothing else says.
ALTER TABLE resources ADD COLUMN proxy TEXT;
