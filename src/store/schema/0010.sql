-- With which a confidential client that registered itself looks after its registration (RFC 7592).
ALTER TABLE clients ADD COLUMN registration_token BLOB;
