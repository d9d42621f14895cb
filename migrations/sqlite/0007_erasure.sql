-- Erasure: what an event says of somebody can go, and an event of its own says so. And what it takes to search by subject.

-- Which groups of an event were erased: actor, subject, case, data, decision, network, listed.
ALTER TABLE audit_event ADD COLUMN erased TEXT NOT NULL DEFAULT '';

-- Cases that stood in a list that somebody was given.
CREATE TABLE audit_event_listed (
    case_id TEXT NOT NULL,                -- the case
    at BIGINT NOT NULL,                   -- as in audit_event
    event_id TEXT NOT NULL,               -- as in audit_event
    PRIMARY KEY (case_id, at, event_id)
);

-- Which digest of an event has lost its disclosure, and by which event.
CREATE TABLE audit_erasure (
    event_id TEXT NOT NULL,               -- as in audit_event
    place BIGINT NOT NULL,                -- of the digest in the leaf, from 0
    erased_by TEXT NOT NULL               -- the event of the erasure: it is there when this is committed
        REFERENCES audit_event (event_id) DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (event_id, place)
);
CREATE INDEX audit_erasure_by ON audit_erasure (erased_by);

-- How far the end of retention has been seen to, for each kind of event.
CREATE TABLE log_retention (
    kind TEXT PRIMARY KEY NOT NULL,       -- casus, beheer, log
    until BIGINT NOT NULL,                -- what is older is erased
    event_id TEXT NOT NULL                -- of the last one erased
);

CREATE INDEX audit_event_subject ON audit_event (req_oin, subject, at, event_id) WHERE subject <> '';
CREATE INDEX audit_event_refused ON audit_event (at, event_id) WHERE outcome <> 'allowed';
CREATE INDEX audit_event_emergency ON audit_event (at, event_id) WHERE emergency = 1;
CREATE INDEX audit_event_trace ON audit_event (trace_id) WHERE trace_id <> '';
