-- What was erased stands in the write-ahead log until that is emptied.

-- One row for each erasure.
CREATE TABLE audit_scrub (
    erased_by TEXT PRIMARY KEY NOT NULL,  -- the event of the erasure, as in audit_erasure
    rewritten_at BIGINT,                  -- when it had been written over; null: not yet
    gone_at BIGINT                        -- when the write-ahead log had been emptied, too; null: not yet
);
CREATE INDEX audit_scrub_waiting ON audit_scrub (erased_by) WHERE gone_at IS NULL;

-- Of what was erased before, nobody knows it.
INSERT INTO audit_scrub (erased_by) SELECT DISTINCT erased_by FROM audit_erasure;
