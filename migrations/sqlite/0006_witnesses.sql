-- Witnesses: a checkpoint is published when the quorum of the log's policy has signed it.

-- Signatures of witnesses under checkpoints that are not published yet.
CREATE TABLE log_cosignature (
    origin TEXT NOT NULL,                 -- as in log_checkpoint
    size BIGINT NOT NULL,                 -- as in log_checkpoint
    witness TEXT NOT NULL,                -- public key of the witness
    line BLOB NOT NULL,                   -- signature line of a signed note (C2SP tlog-cosignature)
    PRIMARY KEY (origin, size, witness)
);

-- Checkpoints as the log shows them, with the signatures of the quorum.
CREATE TABLE log_published (
    origin TEXT NOT NULL,                 -- as in log_checkpoint
    size BIGINT NOT NULL,                 -- as in log_checkpoint
    at BIGINT NOT NULL,                   -- when it was published
    note BLOB NOT NULL,                   -- signed note (C2SP tlog-checkpoint)
    PRIMARY KEY (origin, size)
);
INSERT INTO log_published (origin, size, at, note)
SELECT origin, size, at, note FROM log_checkpoint c
WHERE size = (SELECT MAX(size) FROM log_checkpoint d WHERE d.origin = c.origin);
