-- Keys that were obtained by renewal fall with the key that they were obtained with.

ALTER TABLE certificate ADD COLUMN renewed BIGINT NOT NULL DEFAULT 0;  -- 1: obtained with the key in `replaces`; 0: entered by an operator
UPDATE certificate SET renewed = 1 WHERE EXISTS (
    SELECT 1 FROM certificate_request r
    WHERE r.new_key_hash = certificate.key_hash AND r.key_hash = certificate.replaces
        AND r.answered_at IS NOT NULL AND r.refusal = ''
);
-- How many wait of an organisation, and how often a key asked, is counted with every request.
CREATE INDEX certificate_request_of_organisation ON certificate_request (oin, asked_at);
