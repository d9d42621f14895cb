-- Of each registered certificate it is said once for each step that it ends.

ALTER TABLE certificate ADD COLUMN warned BIGINT NOT NULL DEFAULT 0;       -- days of the last step that was said; 0: none
