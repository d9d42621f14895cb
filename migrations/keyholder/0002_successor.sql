-- Keys that took the place of one on the roster, as whoever held that one said.
CREATE TABLE successor (
    -- OIN in the certificate, 20 digits.
    oin TEXT NOT NULL,
    -- SHA-256 of the new key's SubjectPublicKeyInfo, hexadecimal.
    key_hash TEXT NOT NULL,
    -- The same of the key that was shown when it was named.
    follows TEXT NOT NULL,
    -- When, seconds since 1970.
    named_at BIGINT NOT NULL,
    PRIMARY KEY (oin, key_hash)
);
CREATE INDEX successor_follows ON successor (oin, follows);
