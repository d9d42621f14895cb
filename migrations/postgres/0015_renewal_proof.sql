-- The holder of the current certificate asked, and not somebody in its name: its key signed the request. Those from before are refused by the CA.
ALTER TABLE certificate_request ADD COLUMN signature_scheme BIGINT NOT NULL DEFAULT 0; -- RFC 8446 section 4.2.3
ALTER TABLE certificate_request ADD COLUMN signature BYTEA NOT NULL DEFAULT '';        -- over the request
