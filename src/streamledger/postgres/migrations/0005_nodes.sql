-- The web workers that were there a moment ago, each with what all nodes of a ledger must agree on (ADR 0031).
-- A moment's truth, in no backup; whoever looks takes out what was not seen for a minute.
CREATE TABLE nodes (
    id       text        PRIMARY KEY,  -- of one start of a node
    name     text        NOT NULL,     -- host:port, for people
    settings text        NOT NULL,     -- JSON object: setting to value as text; of a secret a fingerprint
    seen_at  timestamptz NOT NULL      -- by the server's clock
);

-- The latest transaction of several statements of each writer of the intake, noted in that transaction itself:
-- what tells, after a commit that nobody answered for, whether it was done. A transaction id would not do:
-- a standby that takes over gives those that it has not heard of to others.
CREATE TABLE attempts (
    writer  uuid        PRIMARY KEY,  -- made at the start of a web worker
    attempt uuid        NOT NULL,
    at      timestamptz NOT NULL      -- those of a day ago are taken out
);
