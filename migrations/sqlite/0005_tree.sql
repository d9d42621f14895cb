-- The tree over the audit log (C2SP tlog-tiles). A row moves from audit_outbox to log_leaf when its event gets its place.

-- One row: how large the tree is.
CREATE TABLE log_head (
    id INTEGER PRIMARY KEY CHECK (id = 1), -- there is one row
    size BIGINT NOT NULL                  -- leaves
);
INSERT INTO log_head (id, size) VALUES (1, 0);

-- Which event stands where. Nothing updates or deletes a place.
CREATE TABLE log_leaf (
    seq INTEGER PRIMARY KEY,              -- place in the tree, from 0
    event_id TEXT NOT NULL UNIQUE         -- as in audit_event
);

-- Tiles of hashes. The last one of each level grows until it holds 256; a full one stays as it is.
CREATE TABLE log_tile (
    level BIGINT NOT NULL,                -- 0: hashes of leaves
    place BIGINT NOT NULL,                -- within the level, from 0
    hashes BLOB NOT NULL,                 -- 32 bytes each
    PRIMARY KEY (level, place)
);

-- What the log said of its tree. Nothing updates a checkpoint.
CREATE TABLE log_checkpoint (
    origin TEXT NOT NULL,                 -- name of the log: a log that was lost goes on under another
    size BIGINT NOT NULL,                 -- of the tree that it is about
    at BIGINT NOT NULL,                   -- when it was signed
    note BLOB NOT NULL,                   -- signed note (C2SP tlog-checkpoint)
    PRIMARY KEY (origin, size)
);
