-- Several nodes on one database.

-- One row: what every node on this database must have in common, so that two that differ never serve beside each other.
CREATE TABLE deployment (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1), -- always 1
    covenant_version BIGINT NOT NULL,     -- number in force; a node with an older one stops serving
    covenant_hash TEXT NOT NULL,          -- SHA-256 of that version, hex
    keys_hash TEXT NOT NULL               -- tells the hub's keys apart without telling them, hex
);

-- An event that waits for the tree is in audit_event already: its name is enough.
ALTER TABLE audit_outbox DROP COLUMN leaf;
