-- Requests for the next certificate of a holder, and what the CA answered.
CREATE TABLE certificate_request (
    request_name TEXT PRIMARY KEY NOT NULL, -- UUID
    oin TEXT NOT NULL,                      -- organisation that asked
    key_hash TEXT NOT NULL,                 -- of the certificate with which it was asked for
    new_key_hash TEXT NOT NULL UNIQUE,      -- of the key in the request
    signing_request BYTEA NOT NULL,          -- PKCS#10, DER
    certificate BYTEA NOT NULL,              -- with which it was asked for, DER
    asked_at BIGINT NOT NULL,               -- when it was asked for
    answered_at BIGINT,                     -- null: it waits
    chain BYTEA NOT NULL,                    -- sluis.v1.CertificateChain; empty: not issued
    refusal TEXT NOT NULL                   -- why not; empty: not refused
);

GRANT SELECT, INSERT, UPDATE, DELETE ON certificate_request TO sluis_hub;
