-- What each organisation has had evaluated. Counts only: the keyholder sees blinded points and keeps none.
CREATE TABLE quota_use (
    -- The organisation, 20 digits.
    oin TEXT NOT NULL,
    -- Length of the window in seconds: 86400 or 60.
    span BIGINT NOT NULL,
    -- Start of the window, seconds since 1970, a multiple of the span.
    window_start BIGINT NOT NULL,
    -- Elements counted in this window, whether or not their evaluation succeeded.
    used BIGINT NOT NULL,
    PRIMARY KEY (oin, span, window_start)
);
