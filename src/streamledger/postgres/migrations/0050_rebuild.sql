-- Rebuilds of the read model, as they are shown: asked for, under way, and how they ended.

CREATE TABLE rebuilds (
    id              bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state           text    NOT NULL,   -- asked, running, done, cancelled, failed
    phase           text    NOT NULL DEFAULT '',  -- of a running one: folding, indexing, catching_up, switching
    purpose         text    NOT NULL,   -- rebuild, verify, dry_run
    projections     text[]  NOT NULL,
    asked_by        text    NOT NULL,   -- the token's name, "command line", "fold version"
    asked_at_us     bigint  NOT NULL,   -- microseconds since 1970 UTC
    started_at_us   bigint,
    ended_at_us     bigint,
    events_done     bigint  NOT NULL DEFAULT 0,
    events_total    bigint  NOT NULL DEFAULT 0,
    events_per_s    double precision NOT NULL DEFAULT 0,
    digests_equal   boolean,            -- of live and rebuilt rows at one position; null when not compared
    error           text,
    cancel_asked    boolean NOT NULL DEFAULT false
);
-- What waits to be started is looked for every second, and is never more than a few rows.
CREATE INDEX rebuilds_open_idx ON rebuilds (id) WHERE state IN ('asked', 'running');

-- Events that a projection could not take in: set aside so that the others go on, and tried again.
CREATE TABLE parked (
    projection      text    NOT NULL,
    position        bigint  NOT NULL,
    error           text    NOT NULL,
    version         integer NOT NULL,   -- of the projection that failed; another version tries again
    tries           integer NOT NULL,
    parked_at_us    bigint  NOT NULL,   -- microseconds since 1970 UTC, of the last try
    PRIMARY KEY (projection, position)
);
