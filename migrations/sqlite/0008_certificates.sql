-- What operators must know of a registered key to renew it without an interruption, and changes that wait for a second operator.

ALTER TABLE certificate ADD COLUMN system TEXT NOT NULL DEFAULT '';        -- the owner's name for what uses it
ALTER TABLE certificate ADD COLUMN issuer TEXT NOT NULL DEFAULT '';        -- distinguished name, as text; empty: not known
ALTER TABLE certificate ADD COLUMN starts_at BIGINT NOT NULL DEFAULT 0;    -- notBefore of the registered certificate
ALTER TABLE certificate ADD COLUMN registered_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE certificate ADD COLUMN used_at BIGINT;                         -- first call with it; null: none yet
ALTER TABLE certificate ADD COLUMN anchor_set TEXT NOT NULL DEFAULT '';    -- set of anchors under which it was first seen
ALTER TABLE certificate ADD COLUMN replaces TEXT NOT NULL DEFAULT '';      -- key whose place it takes; empty: none
ALTER TABLE certificate ADD COLUMN retires_at BIGINT;                      -- refused from then on; null: not retiring
-- Whatever was registered before has been in use.
UPDATE certificate SET used_at = 0;

-- A change that one operator asked for and another has to confirm.
CREATE TABLE pending_change (
    change_id TEXT PRIMARY KEY NOT NULL,  -- UUID
    method TEXT NOT NULL,                 -- full name of the RPC that asked for it
    request BLOB NOT NULL,                -- its request, as decoded
    oin TEXT NOT NULL,                    -- organisation of the operator that asked
    person_ref TEXT NOT NULL,             -- the operator
    asked_at BIGINT NOT NULL,             -- when
    ends_at BIGINT NOT NULL               -- not carried out from then on
);
