-- Revoked because its holder needs it no more: what it signed before stands, and is opened still. Of those from before nobody knows.
ALTER TABLE certificate ADD COLUMN ceased BIGINT NOT NULL DEFAULT 0;
