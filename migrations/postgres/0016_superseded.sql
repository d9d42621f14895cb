-- A waiting change is not confirmed once another change of the same was carried out. Of what waits already nobody knows that:
-- it is asked for anew.
DELETE FROM pending_change;
ALTER TABLE pending_change ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE pending_change ADD COLUMN superseded_at BIGINT;
GRANT UPDATE (superseded_at) ON pending_change TO sluis_hub;
