-- Whose place is taken by whom, after a merger or under a new OIN.
CREATE TABLE succession (
    oin TEXT PRIMARY KEY NOT NULL,        -- whose place is taken
    successor TEXT NOT NULL,              -- who takes it
    effective_at BIGINT NOT NULL,         -- from this moment on
    settled_at BIGINT                     -- when its standing roles were given over; null: not yet
);
CREATE INDEX measure_oin ON measure (oin);

GRANT SELECT, INSERT, UPDATE, DELETE ON succession TO sluis_hub;
