-- Two tables that are nothing but their keys, kept once instead of twice: every event adds to both.
CREATE TABLE audit_event_party_narrow (
    oin TEXT NOT NULL,                    -- whom it concerns
    at BIGINT NOT NULL,                   -- as in audit_event
    event_id TEXT NOT NULL,               -- as in audit_event
    PRIMARY KEY (oin, at, event_id)
) WITHOUT ROWID;
INSERT INTO audit_event_party_narrow SELECT oin, at, event_id FROM audit_event_party;
DROP TABLE audit_event_party;
ALTER TABLE audit_event_party_narrow RENAME TO audit_event_party;

CREATE TABLE audit_outbox_narrow (
    event_id TEXT PRIMARY KEY NOT NULL    -- as in audit_event
) WITHOUT ROWID;
INSERT INTO audit_outbox_narrow SELECT event_id FROM audit_outbox;
DROP TABLE audit_outbox;
ALTER TABLE audit_outbox_narrow RENAME TO audit_outbox;
