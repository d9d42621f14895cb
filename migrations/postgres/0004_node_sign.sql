-- When each node could last write: for readiness, and for a person who wants to know which nodes there are.
CREATE TABLE node_sign (
    node TEXT PRIMARY KEY NOT NULL,       -- name of the node, from its configuration
    at BIGINT NOT NULL                    -- its last sign of life
);

GRANT SELECT, INSERT, UPDATE ON node_sign TO sluis_hub;
