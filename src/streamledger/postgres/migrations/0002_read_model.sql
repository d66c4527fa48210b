-- The read model: rows derived from the ledger alone, with the position they have taken in.
-- It is slim on purpose: details of a notification are read from the ledger by position.

CREATE TABLE projections (
    name       text PRIMARY KEY,
    position   bigint NOT NULL DEFAULT 0,     -- every event up to here is in the rows
    caught_up_at_us bigint NOT NULL DEFAULT 0,
    digest     numeric(20) NOT NULL DEFAULT 0, -- order-independent sum over the rows, modulo 2^64
    fold_version integer NOT NULL DEFAULT 0    -- domain version that wrote the rows
);

-- One row per session, named by (stream_id, sequence).
CREATE TABLE sessions (
    stream_id       text   NOT NULL,
    sequence        text   NOT NULL,
    sort_ms         bigint NOT NULL,   -- start, else the earliest time known: the order of lists
    span_from_ms    bigint NOT NULL,   -- for attribution: where content of this push can lie
    span_until_ms   bigint NOT NULL,   -- 9223372036854775807 while no stop is known
    ended           boolean NOT NULL,
    recordings      integer NOT NULL DEFAULT 0,
    recording_s     bigint  NOT NULL DEFAULT 0,
    recording_bytes bigint  NOT NULL DEFAULT 0,
    screenshots     integer NOT NULL DEFAULT 0,
    deliveries      integer NOT NULL DEFAULT 0,  -- of notifications that carry this sequence
    position        bigint  NOT NULL,            -- of the last event that changed this row
    fold            jsonb   NOT NULL,            -- domain.session.SessionState
    PRIMARY KEY (stream_id, sequence)
);
CREATE INDEX sessions_sequence_idx ON sessions (sequence);
CREATE INDEX sessions_sort_idx ON sessions (sort_ms, stream_id, sequence);
CREATE INDEX sessions_stream_sort_idx ON sessions (stream_id, sort_ms, sequence);
CREATE INDEX sessions_span_idx ON sessions (stream_id, span_until_ms);
CREATE INDEX sessions_open_idx ON sessions (stream_id, sort_ms, sequence) WHERE NOT ended;

-- One row per notification and session it belongs to; sequence '' when it belongs to none.
CREATE TABLE timeline (
    stream_id     text     NOT NULL,
    kind          text     NOT NULL,  -- domain.notification.Kind
    key           text     NOT NULL,  -- identity within stream and kind
    sequence      text     NOT NULL,
    at_ms         bigint   NOT NULL,
    until_ms      bigint   NOT NULL,
    position      bigint   NOT NULL,  -- of the first delivery of the content that counts
    received_ms   bigint   NOT NULL,  -- of the first delivery of this notification
    deliveries    integer  NOT NULL,
    content       text     NOT NULL,  -- digest of the content that counts
    rivals        jsonb,              -- other contents delivered under the same identity: [[content, position], ...]
    confidence    text,               -- certain, probable, ambiguous; null when the notification names its session
    because       text,               -- reason codes of the attribution, comma-separated
    alternatives  jsonb,              -- sessions that were considered and not chosen
    duration_s    bigint,             -- of a recording's content
    bytes         bigint,             -- of a recording's file
    PRIMARY KEY (stream_id, kind, key, sequence)
);
CREATE INDEX timeline_session_idx ON timeline (stream_id, sequence, at_ms, kind, key);
CREATE INDEX timeline_recording_idx ON timeline (stream_id, sequence, at_ms, key) WHERE kind = 'recording';
-- Which recordings reach into a stretch of time: they are long, and few beside screenshots.
CREATE INDEX timeline_reach_idx ON timeline (stream_id, until_ms) WHERE kind = 'recording';

-- One row per live stream that any notification named.
CREATE TABLE streams (
    stream_id     text   PRIMARY KEY,
    sessions      integer NOT NULL,
    recordings    integer NOT NULL,   -- notifications, counted once whatever they are attributed to
    screenshots   integer NOT NULL,
    others        integer NOT NULL,
    unattributed  integer NOT NULL,
    first_seen_us bigint  NOT NULL,   -- receipt of the first delivery
    last_seen_us  bigint  NOT NULL,
    position      bigint  NOT NULL
);
