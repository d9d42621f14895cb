-- What the hub's role may do. It adds to the audit log and reads it; it can't change or remove a line, and it can't change
-- the schema. The role is made by whoever administers the server, before the first migration: see docs/postgresql.md.

GRANT USAGE ON SCHEMA public TO sluis_hub;
GRANT SELECT ON _sqlx_migrations TO sluis_hub;
GRANT SELECT, INSERT ON audit_event, audit_event_party TO sluis_hub;
GRANT SELECT, INSERT, DELETE ON audit_outbox TO sluis_hub;
GRANT SELECT, INSERT, UPDATE ON registry_head, deployment, partner, certificate, key_set, covenant_signature TO sluis_hub;
GRANT SELECT, INSERT, UPDATE ON case_file, case_name, assignment, measure, consent, inbox_head TO sluis_hub;
GRANT SELECT, INSERT ON record, record_chunk, record_recipient, record_key, inbox_item TO sluis_hub;
GRANT SELECT, INSERT, DELETE ON seal_request TO sluis_hub;
GRANT SELECT, INSERT, UPDATE, DELETE ON request TO sluis_hub;
