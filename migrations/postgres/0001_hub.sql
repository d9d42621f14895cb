-- The hub's store. Text and blobs carry no BSN, no name and no plain content (guarantee G3).
-- Times are microseconds since 1970-01-01T00:00:00Z. Flags are 0 or 1. Lists of codes are separated by one space.
-- The SQLite edition differs in type names only.

-- One row: its revision moves with every change of partners, certificates or signatures, so that a decision made on an
-- older picture of the registry can't commit.
CREATE TABLE registry_head (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1), -- always 1
    rev BIGINT NOT NULL                   -- counts up
);
INSERT INTO registry_head (id, rev) VALUES (1, 0);

-- A signatory, or an organisation that may become one (article 39).
CREATE TABLE partner (
    oin TEXT PRIMARY KEY NOT NULL,        -- 20 digits
    display_name TEXT NOT NULL,           -- the organisation's name, never a person's
    kind TEXT NOT NULL,                   -- gemeente, gi, aanbieder, netwerk
    status TEXT NOT NULL,                 -- active, suspended, withdrawn
    standing_roles TEXT NOT NULL,         -- roles held outside any case
    effective_at BIGINT NOT NULL,         -- takes part from this moment
    withdrawn_at BIGINT,                  -- and until this one
    accepted_covenant BIGINT NOT NULL     -- version signed last; 0: none
);

-- A public key that may act for a partner or one of its persons.
CREATE TABLE certificate (
    key_hash TEXT PRIMARY KEY NOT NULL,   -- SHA-256 of SubjectPublicKeyInfo, hex
    oin TEXT NOT NULL,                    -- whom it acts for
    holder TEXT NOT NULL,                 -- organisation, officer, network_officer, operator
    person_ref TEXT NOT NULL,             -- opaque; empty for an organisation
    expires_at BIGINT NOT NULL,           -- notAfter of the registered certificate
    revoked_at BIGINT                     -- for good; null: not revoked
);

-- Encryption and signing keys that a partner published, with its certificate's signature over them.
CREATE TABLE key_set (
    oin TEXT PRIMARY KEY NOT NULL,        -- whose keys
    message BYTEA NOT NULL,                -- sluis.v1.KeySet as received
    published_at BIGINT NOT NULL          -- when the hub took them
);

-- Who signed which version of the covenant.
CREATE TABLE covenant_signature (
    oin TEXT NOT NULL,                    -- who signed
    version BIGINT NOT NULL,              -- number of the version
    message BYTEA NOT NULL,                -- sluis.v1.CovenantSignature
    signed_at BIGINT NOT NULL,            -- when the hub took it
    PRIMARY KEY (oin, version)
);

-- A case. Everything that a decision rests on moves `rev`.
CREATE TABLE case_file (
    case_id TEXT PRIMARY KEY NOT NULL,    -- internal; never leaves the hub
    rev BIGINT NOT NULL,                  -- counts up
    subject_tag BYTEA NOT NULL,            -- HMAC of the VOPRF output under a key outside this database, or random
    tag_epoch BIGINT NOT NULL,            -- epoch of that key; 0: random subject without BSN
    phase TEXT NOT NULL,                  -- F1–F8
    phase_at BIGINT NOT NULL,             -- when this phase began
    table_at BIGINT,                      -- when F3 (the expert table) began last
    created_at BIGINT NOT NULL,           -- when it was referred
    closed_at BIGINT,                     -- null: open
    end_reason TEXT,                      -- iJw JZ588
    escalated BIGINT NOT NULL,            -- article 29, flag
    restricted BIGINT NOT NULL,           -- AVG 18
    objection BIGINT NOT NULL,            -- AVG 21
    chosen_oin TEXT,                      -- provider chosen (article 21)
    regime TEXT NOT NULL,                 -- JSON: age band (never a date of birth), capacity, who holds authority
    regime_until BIGINT                   -- first day of the month in which the band ends
);
CREATE INDEX case_file_subject ON case_file (subject_tag);

-- Each organisation's own name of a case: random, so that two organisations' records match on nothing.
CREATE TABLE case_name (
    name TEXT PRIMARY KEY NOT NULL,       -- random UUID
    case_id TEXT NOT NULL,                -- the case
    oin TEXT NOT NULL,                    -- whose name for it
    UNIQUE (case_id, oin)
);
CREATE INDEX case_name_oin ON case_name (oin, case_id);

-- A role in a case (article 1).
CREATE TABLE assignment (
    assignment_id TEXT PRIMARY KEY NOT NULL, -- UUID
    case_id TEXT NOT NULL,                -- the case
    role TEXT NOT NULL,                   -- R01–R17
    oin TEXT,                             -- null for a third party
    external_kind TEXT,                   -- school, arts, volwassenzorg for R16
    involved BIGINT NOT NULL,             -- registered as directly involved (Jeugdwet 7.3.11(2)(a))
    starts_at BIGINT NOT NULL,            -- holds from this moment
    ends_at BIGINT,                       -- agreed end
    ended_at BIGINT                       -- ended before that
);
CREATE INDEX assignment_case ON assignment (case_id);

-- A measure that a GI carries out (article 23).
CREATE TABLE measure (
    case_id TEXT NOT NULL,                -- the case
    kind TEXT NOT NULL,                   -- ots, voogdij, jeugdreclassering
    oin TEXT NOT NULL,                    -- GI that carries it out
    starts_at BIGINT NOT NULL,            -- in force from this moment
    ends_at BIGINT,                       -- until this one; null: open
    PRIMARY KEY (case_id, kind)
);

-- A consent of one person (article 7). What was said is not here.
CREATE TABLE consent (
    consent_id TEXT PRIMARY KEY NOT NULL, -- UUID
    case_id TEXT NOT NULL,                -- the case
    giver TEXT NOT NULL,                  -- number of sluis.v1.Giver
    regime TEXT NOT NULL,                 -- JSON: the regime on the day of giving
    scope TEXT NOT NULL,                  -- JSON: articles, categories, recipients, recipient_roles, sources, explicit
    text_version TEXT NOT NULL,           -- version of the text that was explained
    given_at BIGINT NOT NULL,             -- when it was given
    expires_at BIGINT NOT NULL,           -- counts until this moment
    withdrawn_at BIGINT                   -- null: not withdrawn
);
CREATE INDEX consent_case ON consent (case_id);

-- A sealed record. The content is ciphertext that the hub can't open.
CREATE TABLE record (
    record_id TEXT PRIMARY KEY NOT NULL,  -- UUID
    case_id TEXT,                         -- null for articles 9 and 20
    category TEXT NOT NULL,               -- C01–C24
    form TEXT NOT NULL,                   -- I, P, L, A, or - (open)
    article BIGINT NOT NULL,              -- on which the author relied
    purpose TEXT NOT NULL,                -- code of the purpose
    author_oin TEXT NOT NULL,             -- who made it
    author_role TEXT NOT NULL,            -- role in which it was made
    source_external TEXT,                 -- third party from which the author had it
    schema TEXT NOT NULL,                 -- name of the form that the content follows
    roles TEXT NOT NULL,                  -- recipient roles that the author asked for; empty: all of the article
    named BIGINT NOT NULL,                -- 1: recipients were named, newcomers get nothing
    header BYTEA NOT NULL,                 -- canonical JSON, signed
    signature BYTEA NOT NULL,              -- Ed25519 over the header, 64 bytes
    size BIGINT NOT NULL,                 -- ciphertext, bytes
    created_at BIGINT NOT NULL,           -- when the hub took it
    expires_at BIGINT                     -- retention class of the article
);
CREATE INDEX record_case ON record (case_id, created_at);

-- Ciphertext in pieces, so that no more than one is in memory.
CREATE TABLE record_chunk (
    record_id TEXT NOT NULL,              -- the record
    seq BIGINT NOT NULL,                  -- place, from 0
    bytes BYTEA NOT NULL,                  -- ciphertext
    PRIMARY KEY (record_id, seq)
);

-- Who may open a record, with the key sealed to that organisation.
CREATE TABLE record_recipient (
    record_id TEXT NOT NULL,              -- the record
    oin TEXT NOT NULL,                    -- who may open it
    role TEXT NOT NULL,                   -- role by which; empty: none asked for
    external_kind TEXT NOT NULL,          -- empty, or the third party for whom this organisation passes it on
    clauses TEXT NOT NULL,                -- clauses of the covenant that allowed it
    added_at BIGINT NOT NULL,             -- at publication or later
    PRIMARY KEY (record_id, oin, role, external_kind)
);
CREATE INDEX record_recipient_oin ON record_recipient (oin, record_id);

-- One sealed key per organisation and record, the author's own among them.
CREATE TABLE record_key (
    record_id TEXT NOT NULL,              -- the record
    oin TEXT NOT NULL,                    -- to whom the key is sealed
    message BYTEA NOT NULL,                -- sluis.v1.SealedKey
    PRIMARY KEY (record_id, oin)
);

-- A newcomer waits for the author's agent to seal a record for it.
CREATE TABLE seal_request (
    record_id TEXT NOT NULL,              -- the record
    oin TEXT NOT NULL,                    -- the newcomer
    role TEXT NOT NULL,                   -- its role
    author_oin TEXT NOT NULL,             -- whose agent can seal
    created_at BIGINT NOT NULL,           -- when it asked
    PRIMARY KEY (record_id, oin, role)
);
CREATE INDEX seal_request_author ON seal_request (author_oin, created_at);

-- The last item given out and the last one acknowledged, per organisation.
CREATE TABLE inbox_head (
    oin TEXT PRIMARY KEY NOT NULL,        -- whose inbox
    seq BIGINT NOT NULL,                  -- given out last
    acked BIGINT NOT NULL                 -- acknowledged last
);

-- What there is for an organisation, in order.
CREATE TABLE inbox_item (
    oin TEXT NOT NULL,                    -- whose inbox
    seq BIGINT NOT NULL,                  -- place, from 1
    case_id TEXT,                         -- the case; null: none
    record_id TEXT,                       -- set for a record
    role TEXT NOT NULL,                   -- the recipient's role to which the item belongs; empty: none
    message BYTEA NOT NULL,                -- sluis.v1.InboxItem without cursor, case name and record
    created_at BIGINT NOT NULL,           -- when it was put there
    PRIMARY KEY (oin, seq)
);

-- Replies to changes, so that a repeat has no second effect (AIP-155).
CREATE TABLE request (
    oin TEXT NOT NULL,                    -- who asked
    request_id TEXT NOT NULL,             -- UUID, chosen by the caller
    method TEXT NOT NULL,                 -- full name of the RPC
    body_hash BYTEA NOT NULL,              -- SHA-256 of the request
    reply BYTEA NOT NULL,                  -- as it was given
    event_id TEXT NOT NULL,               -- event of the first time
    at BIGINT NOT NULL,                   -- when
    PRIMARY KEY (oin, request_id)
);
CREATE INDEX request_at ON request (at);

-- One line per call. Nothing updates or deletes it.
CREATE TABLE audit_event (
    event_id TEXT PRIMARY KEY NOT NULL,   -- UUID version 7
    at BIGINT NOT NULL,                   -- when
    method TEXT NOT NULL,                 -- full name of the RPC
    action TEXT NOT NULL,                 -- C, R, U, D, E
    outcome TEXT NOT NULL,                -- allowed, refused, failed
    reason TEXT NOT NULL,                 -- code when refused
    req_oin TEXT NOT NULL,                -- organisation that asked
    src_oin TEXT NOT NULL,                -- organisation whose data it concerns; empty: none
    user_ref TEXT NOT NULL,               -- employee reference, the organisation's own
    role TEXT NOT NULL,                   -- acting role; empty: none
    purpose TEXT NOT NULL,                -- code of the purpose; empty: none
    article BIGINT NOT NULL,              -- 0: none
    covenant_version BIGINT NOT NULL,     -- in force at the decision; 0: none asked
    clauses TEXT NOT NULL,                -- clauses that decided
    case_id TEXT,                         -- null: no case, or none that is known
    subject TEXT NOT NULL,                -- log-scope pseudonym for the organisation that asked; empty: none
    categories TEXT NOT NULL,             -- C01–C24
    form TEXT NOT NULL,                   -- of a record; empty: none
    recipients TEXT NOT NULL,             -- OINs
    record_id TEXT NOT NULL,              -- empty: none
    consents TEXT NOT NULL,               -- consents that the decision rested on
    emergency BIGINT NOT NULL,            -- article 30, flag
    motivation TEXT NOT NULL,             -- the caller's, free of personal data
    key_hash TEXT NOT NULL,               -- of the caller's certificate
    node TEXT NOT NULL,                   -- hub that wrote it
    trace_id TEXT NOT NULL,               -- W3C trace-id; empty: none
    leaf BYTEA NOT NULL,                   -- exact bytes that enter the log's tree
    disclosures BYTEA NOT NULL             -- exact salted disclosures, JSON array
);
CREATE INDEX audit_event_at ON audit_event (at, event_id);
CREATE INDEX audit_event_case ON audit_event (case_id, at, event_id);
CREATE INDEX audit_event_user ON audit_event (req_oin, user_ref, at, event_id);

-- Which organisations an event concerns, for reading within one's own scope.
CREATE TABLE audit_event_party (
    oin TEXT NOT NULL,                    -- whom it concerns
    at BIGINT NOT NULL,                   -- as in audit_event
    event_id TEXT NOT NULL,               -- as in audit_event
    PRIMARY KEY (oin, at, event_id)
);

-- Events that wait to enter the tree.
CREATE TABLE audit_outbox (
    event_id TEXT PRIMARY KEY NOT NULL,   -- as in audit_event
    leaf BYTEA NOT NULL                    -- as in audit_event
);
