-- What was erased stands in the server's files until its tables are written anew: `sluis hub scrub`, which works as the owner.

-- One row for each erasure. The hub's role adds to it and reads it; it can't say that anything is gone.
CREATE TABLE audit_scrub (
    erased_by TEXT PRIMARY KEY NOT NULL,  -- the event of the erasure, as in audit_erasure
    rewritten_at BIGINT,                  -- when the tables had been written anew; null: not yet
    gone_at BIGINT                        -- when the statistics and the write-ahead log had been, too; null: not yet
);
CREATE INDEX audit_scrub_waiting ON audit_scrub (erased_by) WHERE gone_at IS NULL;

-- Of what was erased before, nobody knows it.
INSERT INTO audit_scrub (erased_by) SELECT DISTINCT erased_by FROM audit_erasure;

GRANT SELECT, INSERT (erased_by) ON audit_scrub TO sluis_hub;
