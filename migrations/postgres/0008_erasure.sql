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
    kind TEXT PRIMARY KEY,                -- casus, beheer, log
    until BIGINT NOT NULL,                -- what is older is erased
    event_id TEXT NOT NULL                -- of the last one erased
);

CREATE INDEX audit_event_subject ON audit_event (req_oin, subject, at, event_id) WHERE subject <> '';
CREATE INDEX audit_event_refused ON audit_event (at, event_id) WHERE outcome <> 'allowed';
CREATE INDEX audit_event_emergency ON audit_event (at, event_id) WHERE emergency = 1;
CREATE INDEX audit_event_trace ON audit_event (trace_id) WHERE trace_id <> '';

-- The hub's role can't change an event. This is the one change there is: groups are emptied, for an erasure that is written down
-- in the same transaction. Says whether the event was as the eraser knew it.
CREATE FUNCTION erase_event(
    the_words TEXT,                       -- groups that are emptied now
    the_event TEXT,                       -- of which event
    the_rest BYTEA,                       -- disclosures that stay
    the_cases TEXT,                       -- cases that go from its list
    the_eraser TEXT,                      -- the event of the erasure
    the_old BYTEA,                        -- disclosures as they were read
    all_words TEXT                        -- groups that are emptied now or were before
) RETURNS BIGINT
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    gone TEXT[] := string_to_array(the_words, ' ');
    the_row audit_event%ROWTYPE;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_erasure WHERE event_id = the_event AND erased_by = the_eraser) THEN
        RAISE EXCEPTION 'no erasure of this event is written down';
    END IF;
    SELECT * INTO the_row FROM audit_event WHERE event_id = the_event AND disclosures = the_old FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    UPDATE audit_event SET
        disclosures = the_rest,
        erased = all_words,
        user_ref = CASE WHEN 'actor' = ANY (gone) THEN '' ELSE user_ref END,
        role = CASE WHEN 'actor' = ANY (gone) THEN '' ELSE role END,
        subject = CASE WHEN 'subject' = ANY (gone) THEN '' ELSE subject END,
        case_id = CASE WHEN 'case' = ANY (gone) THEN NULL ELSE case_id END,
        categories = CASE WHEN 'data' = ANY (gone) THEN '' ELSE categories END,
        form = CASE WHEN 'data' = ANY (gone) THEN '' ELSE form END,
        recipients = CASE WHEN 'data' = ANY (gone) THEN '' ELSE recipients END,
        record_id = CASE WHEN 'data' = ANY (gone) THEN '' ELSE record_id END,
        consents = CASE WHEN 'decision' = ANY (gone) THEN '' ELSE consents END,
        emergency = CASE WHEN 'decision' = ANY (gone) THEN 0 ELSE emergency END,
        motivation = CASE WHEN 'decision' = ANY (gone) THEN '' ELSE motivation END,
        reason = CASE WHEN 'decision' = ANY (gone) THEN '' ELSE reason END,
        key_hash = CASE WHEN 'network' = ANY (gone) THEN '' ELSE key_hash END,
        node = CASE WHEN 'network' = ANY (gone) THEN '' ELSE node END,
        trace_id = CASE WHEN 'network' = ANY (gone) THEN '' ELSE trace_id END
    WHERE event_id = the_event;
    IF 'data' = ANY (gone) THEN
        DELETE FROM audit_event_party p
        WHERE p.oin = ANY (string_to_array(the_row.recipients, ' ')) AND p.at = the_row.at AND p.event_id = the_event
        AND p.oin NOT IN (the_row.req_oin, the_row.src_oin);
    END IF;
    DELETE FROM audit_event_listed l
    WHERE l.case_id = ANY (string_to_array(the_cases, ' ')) AND l.at = the_row.at AND l.event_id = the_event;
    RETURN 1;
END
$$;
REVOKE ALL ON FUNCTION erase_event(TEXT, TEXT, BYTEA, TEXT, TEXT, BYTEA, TEXT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_event(TEXT, TEXT, BYTEA, TEXT, TEXT, BYTEA, TEXT) TO sluis_hub;
GRANT SELECT, INSERT ON audit_event_listed, audit_erasure TO sluis_hub;
GRANT SELECT, INSERT, UPDATE ON log_retention TO sluis_hub;
