-- What people are at their identity provider, and whether that said all of it.
ALTER TABLE users ADD COLUMN has_roles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE users ADD COLUMN roles_incomplete BIGINT NOT NULL DEFAULT 0;
