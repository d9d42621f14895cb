-- How that stood which a waiting change is about, when it was asked for. What waits already is asked for anew.
ALTER TABLE pending_change ADD COLUMN stood TEXT NOT NULL DEFAULT '-';
