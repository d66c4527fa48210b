-- Release and retention of the quarantine, and the tokens of the query interface.

-- Released deliveries stay as evidence, in a budget of their own: they use up nobody's room any more.
INSERT INTO quarantine_usage VALUES ('released', 0, 0);
CREATE INDEX quarantine_unreleased_idx ON quarantine (received_at_us, id) WHERE released_at_us IS NULL;

-- Bearer tokens made by `token create`. Only a hash is kept; the tokens are random, so a plain one is enough.
CREATE TABLE api_tokens (
    name          text   PRIMARY KEY,
    scope         text   NOT NULL CHECK (scope IN ('read', 'admin')),
    secret_sha256 bytea  NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
    created_at_us bigint NOT NULL,
    created_by    text   NOT NULL,
    revoked_at_us bigint,            -- a revoked token stays, so that its name keeps its meaning in the ledger
    revoked_by    text
);
