-- The read model: rows derived from the ledger alone, with the position they have taken in. It is slim on
-- purpose: details of a notification are read from the ledger by position. docs/tables.md draws it, and says
-- which question each index answers; a test drops an index that answers none.

CREATE TABLE projections (
    name       text PRIMARY KEY,
    position   bigint NOT NULL DEFAULT 0,      -- every event up to here is in the rows: the library's tracking
    caught_up_at_us bigint NOT NULL DEFAULT 0,
    fold_version integer NOT NULL DEFAULT 0,   -- of the rules that wrote the rows
    edition    bigint NOT NULL DEFAULT 0,      -- grows when somebody else than the runner has written rows
    digest     text,                           -- of the rows, when they were last counted
    digest_position bigint                     -- at which they were counted
);

-- One row per session, named by (stream_id, sequence); narrow, as media are added to its totals all the time.
CREATE TABLE sessions (
    sort_ms         bigint  NOT NULL,  -- start, else the earliest time known: the order of lists
    span_from_ms    bigint  NOT NULL,  -- for attribution: where content of this push can lie
    span_until_ms   bigint  NOT NULL,  -- 9223372036854775807 while nothing bounds it
    sure_from_ms    bigint  NOT NULL,  -- where it is known to have run
    sure_until_ms   bigint  NOT NULL,
    last_sign_ms    bigint  NOT NULL,  -- its latest notification that is no stop
    newer_ms        bigint  NOT NULL,  -- without a stop: start of the next push at this place
    reach_ms        bigint  NOT NULL,  -- up to here another push may change it
    witness_until_ms bigint NOT NULL,  -- up to here it is possible for media with its stream_param
    position        bigint  NOT NULL,  -- of the last delivery that carries this sequence
    files_ms        bigint  NOT NULL,  -- of its recordings, each file by itself
    recording_bytes bigint  NOT NULL,
    deliveries      integer NOT NULL,  -- of notifications that carry this sequence
    recordings      integer NOT NULL,
    screenshots     integer NOT NULL,
    ended           boolean NOT NULL,
    start_known     boolean NOT NULL,  -- the start is reported or inferred: then it is sort_ms
    refused         boolean NOT NULL,  -- by the errcode of its stop: it never ran
    stream_id       text    NOT NULL,
    sequence        text    NOT NULL,
    app             text,
    appname         text,
    witness         text,              -- digest of its stream_param
    PRIMARY KEY (sequence, stream_id)
) WITH (fillfactor = 85);
CREATE INDEX sessions_sort_idx ON sessions (sort_ms, stream_id, sequence);
CREATE INDEX sessions_stream_sort_idx ON sessions (stream_id, sort_ms, sequence);
CREATE INDEX sessions_reach_idx ON sessions (stream_id, reach_ms);
CREATE INDEX sessions_witness_idx ON sessions (stream_id, witness, sort_ms) WHERE NOT ended;
CREATE INDEX sessions_open_idx ON sessions (stream_id, sort_ms, sequence) WHERE NOT ended;
CREATE INDEX sessions_open_sort_idx ON sessions (sort_ms, stream_id, sequence) WHERE NOT ended;

-- What a session's start, stop and push errors say: beside the row that changes all the time.
CREATE TABLE session_folds (
    stream_id text NOT NULL,
    sequence  text NOT NULL,
    fold      text NOT NULL,           -- domain.session.SessionState, as JSON
    PRIMARY KEY (stream_id, sequence)
);

-- One row per notification, and of a recording that spans several sessions one for each.
CREATE TABLE timeline (
    at_ms         bigint   NOT NULL,   -- wide columns first: without gaps between them rows are smaller
    until_ms      bigint   NOT NULL,
    position      bigint   NOT NULL,   -- of the first delivery of the content that counts
    received_ms   bigint   NOT NULL,   -- of the notification's first delivery
    deliveries    integer  NOT NULL,
    part          smallint NOT NULL,   -- 0, and of a recording that spans several sessions on from there
    stream_id     text     NOT NULL,   -- '' when it names none
    kind          text     NOT NULL,   -- domain.notification.Kind
    key           text     NOT NULL,   -- identity within stream and kind
    sequence      text     NOT NULL,   -- '' when it belongs to no session
    content       text,                -- digest of the content that counts; null while there was one delivery
    rivals        text,                -- other contents under the same identity, as JSON: [[content, position], ...]
    confidence    text,                -- probable, ambiguous, certain; null: carried, or plainly certain
    because       text,                -- reason codes of the attribution, comma-separated
    alternatives  text,                -- sessions that were considered and not chosen, as JSON
    alternatives_total integer,        -- how many, where not all are named
    duration_ms   bigint,              -- of a recording's file
    bytes         bigint,              -- likewise
    began_ms      bigint,              -- when its writing began, where that is before its content
    task          text,                -- digest of the task that recorded, also of a recording status
    note          text,                -- record_event of a recording status; bare: a file without stream_param
    copies        text,                -- positions of the deliveries after the first, up to 32, as JSON
    PRIMARY KEY (stream_id, kind, key, part)
);
CREATE INDEX timeline_session_idx ON timeline (stream_id, sequence, at_ms);
CREATE INDEX timeline_recording_idx ON timeline (stream_id, sequence, at_ms, key) WHERE kind = 'recording';
CREATE INDEX timeline_until_idx ON timeline (stream_id, until_ms) WHERE kind = 'recording';
CREATE INDEX timeline_status_idx ON timeline (stream_id, sequence, at_ms, key) WHERE kind = 'recording_status';
CREATE INDEX timeline_defining_idx ON timeline (stream_id, sequence, position)
    WHERE kind NOT IN ('screenshot', 'recording');
CREATE INDEX timeline_trouble_idx ON timeline (at_ms) WHERE kind IN ('push_stopped', 'push_error');
CREATE INDEX timeline_rivals_idx ON timeline (stream_id, kind, key) WHERE rivals IS NOT NULL;
CREATE INDEX timeline_unattributed_idx ON timeline (at_ms, stream_id, kind, key)
    WHERE sequence = '' AND stream_id <> ''
    AND kind IN ('recording', 'screenshot', 'recording_status', 'recording_exception');
CREATE INDEX timeline_stream_unattributed_idx ON timeline (stream_id, at_ms, kind, key)
    WHERE sequence = '' AND stream_id <> ''
    AND kind IN ('recording', 'screenshot', 'recording_status', 'recording_exception');
CREATE INDEX timeline_of_stream_idx ON timeline (stream_id, at_ms, kind, key)
    WHERE kind = 'other' OR (sequence = '' AND kind IN ('push_started', 'push_stopped', 'push_error'));

-- One row per live stream that any notification named; everything in it can be added in any order.
CREATE TABLE streams (
    stream_id     text   PRIMARY KEY,
    sessions      bigint NOT NULL,
    recordings    bigint NOT NULL,     -- notifications, counted once whatever they are attributed to
    screenshots   bigint NOT NULL,
    others        bigint NOT NULL,
    unattributed  bigint NOT NULL,
    open_sessions bigint NOT NULL,     -- sessions without a stop
    latest_ms     bigint NOT NULL,     -- time of the latest fact of the stream
    first_seen_us bigint NOT NULL,     -- receipt of the first delivery
    last_seen_us  bigint NOT NULL,
    position      bigint NOT NULL
) WITH (fillfactor = 75);
CREATE INDEX streams_open_idx ON streams (stream_id) WHERE open_sessions > 0;

-- Delivery forensics. A first delivery that is nothing but that has no row here: the ledger has it. Rows are of
-- repeated deliveries, of released ones, and of those that bear the mark of a captured signature.
CREATE TABLE repeats (
    position       bigint PRIMARY KEY,
    first_position bigint NOT NULL,    -- of the first delivery of the same notification: names the notification
    stream_id      text   NOT NULL,    -- '' when the notification names none
    sequence       text   NOT NULL,    -- '' when it carries none
    event_type     bigint NOT NULL,
    received_ms    bigint NOT NULL,    -- of a released one: when it was received, before it was set aside
    judged_as      text   NOT NULL,    -- domain.forensics.DeliveryClass
    try_number     bigint,             -- the n-th retry of the sender; null for what is no retry
    source_ip      text   NOT NULL,
    callback_key   text   NOT NULL,    -- name of the key that verified it; '' when none was needed
    signed_early   boolean NOT NULL,   -- signed long before what it reports: a captured signature?
    evidence       text   NOT NULL     -- domain.forensics.Evidence, as JSON
);
CREATE INDEX repeats_judged_idx ON repeats (judged_as, position);
CREATE INDEX repeats_received_idx ON repeats (judged_as, received_ms, position);
CREATE INDEX repeats_stream_idx ON repeats (stream_id, position);
CREATE INDEX repeats_first_idx ON repeats (first_position, position);
CREATE INDEX repeats_early_idx ON repeats (received_ms, position) WHERE signed_early;

-- What must be known of a notification that was delivered more than once to judge its next delivery.
CREATE TABLE notifications (
    first_position bigint NOT NULL,
    first_ms       bigint NOT NULL,
    source_ip      text   NOT NULL,
    content        text   NOT NULL,    -- digest of the body less t and sign
    bytes_digest   bigint NOT NULL,    -- of the body as received
    t              text,               -- as sent
    callback_key   text,
    deliveries     bigint NOT NULL,
    try_ms         bigint NOT NULL,    -- receipt of the latest delivery that fits the sender's schedule
    tries          bigint NOT NULL,    -- its number
    tries_min      bigint NOT NULL,    -- the least that number can be
    other_contents text,               -- contents of conflicts, as JSON: [[content, position], ...]
    twins          text,               -- tries by the keys of other callback templates, as JSON
    stream_id      text   NOT NULL,    -- '' when it names none
    kind           text   NOT NULL,
    key            text   NOT NULL,
    PRIMARY KEY (stream_id, kind, key)
);

-- Deliveries per UTC day of receipt and class, so that an audit of months reads few rows.
CREATE TABLE delivery_days (
    day        bigint NOT NULL,        -- days since 1970-01-01
    judged_as  text   NOT NULL,
    deliveries bigint NOT NULL,
    PRIMARY KEY (day, judged_as)
);

-- Deliveries by minute of receipt and kind: the small plots, without a scan of the ledger.
CREATE TABLE minutes (
    minute_ms  bigint NOT NULL,        -- milliseconds since 1970 UTC, a whole minute
    kind       text   NOT NULL,        -- domain.notification.Kind
    deliveries bigint NOT NULL,        -- repeated ones too
    PRIMARY KEY (minute_ms, kind)
);

-- Deliveries by minute of receipt and sender, with the positions between which they lie: lists of deliveries
-- read the ledger by position, and this says where.
CREATE TABLE senders (
    minute_ms      bigint NOT NULL,
    source_ip      text   NOT NULL,
    callback_key   text   NOT NULL,    -- '' when none was needed
    deliveries     bigint NOT NULL,
    first_position bigint NOT NULL,    -- the least and the greatest position of these
    last_position  bigint NOT NULL,
    PRIMARY KEY (minute_ms, source_ip, callback_key)
);
CREATE INDEX senders_position_idx ON senders (last_position);
CREATE INDEX senders_source_idx ON senders (source_ip, last_position);
CREATE INDEX senders_key_idx ON senders (callback_key, last_position);

-- Who sends: which addresses are known to be the sender's, which callback keys stand side by side. Both by the
-- position from which that is known, so that a delivery can be judged by what was known then.
CREATE TABLE addresses (
    source_ip  text PRIMARY KEY,
    shown      text NOT NULL,          -- the distinct t that it was the first to show, as JSON, until it is known
    known_from bigint                  -- the position of the third of them
);
CREATE TABLE key_uses (
    callback_key text PRIMARY KEY,
    from_s       bigint NOT NULL,      -- the least and the greatest t that it signed
    until_s      bigint NOT NULL
);
CREATE TABLE keys_beside (
    one           text   NOT NULL,
    other         text   NOT NULL,
    from_position bigint NOT NULL,
    PRIMARY KEY (one, other)
);
-- Pairs of t and sign, until a thousand seconds after their t.
CREATE TABLE signed_pairs (
    t_s        bigint  NOT NULL,
    sign       text    NOT NULL,
    from_known boolean NOT NULL,       -- whether it came from a known address
    positions  text    NOT NULL,       -- of what came from unknown ones and has no mark, as JSON
    addresses  text    NOT NULL,       -- from which it came, two at most, as JSON
    PRIMARY KEY (t_s, sign)
);
-- Deliveries that came with a captured pair: its t and sign came from an address of the sender's too.
CREATE TABLE delivery_marks (
    position bigint PRIMARY KEY
);

-- Rebuilds of the read model, as they are shown: asked for, under way, and how they ended.
CREATE TABLE rebuilds (
    id              bigint  PRIMARY KEY,
    state           text    NOT NULL,   -- asked, running, done, cancelled, failed
    phase           text    NOT NULL DEFAULT '',  -- of a running one: folding, indexing, catching_up, switching
    purpose         text    NOT NULL,   -- rebuild, verify, dry_run
    projections     text[]  NOT NULL,
    asked_by        text    NOT NULL,   -- the token's name, "command line", "fold version"
    asked_at_us     bigint  NOT NULL,   -- microseconds since 1970 UTC
    started_at_us   bigint,
    ended_at_us     bigint,
    to_position     bigint,             -- up to which history is folded; null for all of it
    events_done     bigint  NOT NULL DEFAULT 0,
    events_total    bigint  NOT NULL DEFAULT 0,
    events_per_s    double precision NOT NULL DEFAULT 0,
    indexes_done    integer NOT NULL DEFAULT 0,
    indexes_total   integer NOT NULL DEFAULT 0,
    indexes_left_s  double precision,   -- null while nobody can say
    digests_equal   boolean,            -- of live and rebuilt rows at one position; null when not compared
    differences     jsonb,              -- what a dry run would change: counts by table, and the first rows
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
