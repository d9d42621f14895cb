-- Suppliers that act in a partner's name, by a mandate that the partner signed.
CREATE TABLE mandate (
    mandate_id TEXT PRIMARY KEY NOT NULL, -- UUID, as in the document
    principal TEXT NOT NULL,              -- OIN of the partner that gave it
    delegate TEXT NOT NULL,               -- OIN of the supplier
    starts_at BIGINT NOT NULL,            -- as in the document
    ends_at BIGINT NOT NULL,              -- refused from then on
    key_hash TEXT NOT NULL,               -- of the principal's key that signed it
    message BYTEA NOT NULL,         -- sluis.v1.Mandate
    registered_at BIGINT NOT NULL,        -- when
    cut_at BIGINT                         -- ended before its time, or replaced; null: neither
);

GRANT SELECT, INSERT, UPDATE ON mandate TO sluis_hub;

ALTER TABLE certificate ADD COLUMN via TEXT NOT NULL DEFAULT '';  -- OIN of the supplier whose certificate it is; empty: its own
ALTER TABLE audit_event ADD COLUMN via TEXT NOT NULL DEFAULT '';  -- OIN of the supplier that called; empty: the organisation itself

CREATE INDEX audit_event_via ON audit_event (via, at, event_id) WHERE via <> '';
