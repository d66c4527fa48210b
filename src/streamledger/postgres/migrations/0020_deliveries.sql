-- Delivery forensics: what each delivery of the ledger is, seen beside those of the same notification
-- before it. Written by the projection "deliveries" alone.

CREATE TABLE deliveries (
    position       bigint PRIMARY KEY,
    first_position bigint NOT NULL,  -- of the first delivery of the same notification: names the notification
    stream_id      text   NOT NULL,  -- '' when the notification names none
    sequence       text   NOT NULL,  -- '' when it carries none
    event_type     bigint NOT NULL,
    received_ms    bigint NOT NULL,  -- of a released one: when it was received, before it was set aside
    judged_as      text   NOT NULL,  -- domain.forensics.DeliveryClass
    try_number     bigint,           -- the n-th retry of the sender; null for what is no retry
    source_ip      text   NOT NULL,
    callback_key   text   NOT NULL,  -- name of the key that verified it; '' when none was needed
    signed_early   boolean NOT NULL, -- signed long before what it reports: a captured signature?
    evidence       jsonb  NOT NULL   -- domain.forensics.Evidence
);
CREATE INDEX deliveries_received_idx ON deliveries (received_ms, position);
CREATE INDEX deliveries_stream_idx ON deliveries (stream_id, received_ms, position);
CREATE INDEX deliveries_source_idx ON deliveries (source_ip, received_ms, position);
CREATE INDEX deliveries_key_idx ON deliveries (callback_key, received_ms, position);
-- Nearly all deliveries are first ones, and most carry no sequence: what is asked for by these is rare.
CREATE INDEX deliveries_sequence_idx ON deliveries (sequence, received_ms, position) WHERE sequence <> '';
CREATE INDEX deliveries_judged_idx ON deliveries (judged_as, received_ms, position) WHERE judged_as <> 'first';
CREATE INDEX deliveries_early_idx ON deliveries (received_ms, position) WHERE signed_early;
CREATE INDEX deliveries_repeated_idx ON deliveries (first_position, position) WHERE position <> first_position;

-- What must be known of a notification to judge its next delivery (domain.forensics.Known).
CREATE TABLE notifications (
    stream_id      text   NOT NULL,  -- '' when it names none
    kind           text   NOT NULL,  -- domain.notification.Kind
    key            text   NOT NULL,  -- identity within stream and kind
    first_position bigint NOT NULL,
    first_ms       bigint NOT NULL,
    source_ip      text   NOT NULL,
    content        text   NOT NULL,  -- digest of the body less t and sign
    bytes_digest   bigint NOT NULL,  -- of the body as received
    t              text,             -- as sent
    callback_key   text,
    deliveries     bigint NOT NULL,
    try_ms         bigint NOT NULL,  -- receipt of the latest delivery that fits the sender's schedule
    tries          bigint NOT NULL,  -- its number
    tries_min      bigint NOT NULL,  -- the least that number can be
    other_contents jsonb,            -- contents of conflicts: [[content, position], ...]
    PRIMARY KEY (stream_id, kind, key)
);

-- Deliveries per UTC day of receipt and class, so that an audit of months reads few rows.
CREATE TABLE delivery_days (
    day        bigint NOT NULL,  -- days since 1970-01-01
    judged_as  text   NOT NULL,
    deliveries bigint NOT NULL,
    PRIMARY KEY (day, judged_as)
);
