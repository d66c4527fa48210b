-- The ledger: one append-only table, in the form that the eventsourcing library reads and writes, its head,
-- the quarantine beside it, the intake's counters and the tokens of the query interface.
-- The schema is the unit of one ledger. No sequence, no identity column and no advisory lock: on Citus with
-- schema-based sharding a schema lives on any node, and all of it must move there and back (ADR 0013).

CREATE TABLE ledger_events (
    originator_id      text   NOT NULL,  -- the live stream, or "~event-type-N" without one
    originator_version bigint NOT NULL,  -- place in that stream, numbered inside the append
    topic              text   NOT NULL,  -- stable event name, never a Python path
    state              bytea  NOT NULL,  -- msgpack of domain.events.Delivery: the bytes as received and the verdict
    notification_id    bigint NOT NULL,  -- the position: 1 to n without gaps, visible in order
    delivery_id        uuid   NOT NULL,  -- given at receipt: resolves a lost commit acknowledgement
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    -- Nothing is ever updated or deleted, so vacuum only has to freeze and to set the visibility map.
    autovacuum_vacuum_insert_threshold = 1000000,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_analyze_threshold = 10000
);

CREATE UNIQUE INDEX ledger_events_notification_id_idx ON ledger_events (notification_id);
CREATE UNIQUE INDEX ledger_events_delivery_id_idx ON ledger_events (delivery_id);

-- Not even the owner may change what was appended, unless it gives itself the right again; a superuser may,
-- and is stopped by the triggers.
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_events FROM CURRENT_USER;

CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

-- Citus takes no trigger unless it is told to; nothing but the second refusal depends on these.
DO $$
BEGIN
    IF current_setting('citus.enable_unsafe_triggers', true) IN ('off', 'false', 'no', '0') THEN
        RAISE WARNING 'citus.enable_unsafe_triggers is off: no trigger refuses changes of the ledger';
    ELSE
        CREATE TRIGGER ledger_events_append_only BEFORE UPDATE OR DELETE ON ledger_events
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
        CREATE TRIGGER ledger_events_no_truncate BEFORE TRUNCATE ON ledger_events
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
    END IF;
END $$;

-- The position of the last event, which is the number of events. Whoever appends updates this row first, and
-- so holds the lock of all writers until its transaction ends.
CREATE TABLE ledger_head (
    sole     boolean PRIMARY KEY DEFAULT true CHECK (sole),  -- one row
    position bigint  NOT NULL
) WITH (
    fillfactor = 10,                        -- room for versions of the row beside it, without a new index entry
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0
);
INSERT INTO ledger_head (position) VALUES (0);

-- Deliveries that are not believed: kept apart, with the body, until released or aged out.
CREATE TABLE quarantine (
    id                uuid   PRIMARY KEY,   -- the delivery's id
    reason            text   NOT NULL,      -- expired, too_far_ahead, bad_signature, unsigned, malformed
    received_at_us    bigint NOT NULL,      -- microseconds since 1970 UTC
    source_ip         text   NOT NULL,
    headers           text   NOT NULL DEFAULT '[]',  -- JSON of domain.events.RequestHeaders
    body              bytea  NOT NULL,
    bytes             integer NOT NULL,
    event_type        bigint,
    stream_id         text,
    sequence          text,
    key               text,                 -- the key that verified it, where one did
    mended            text   NOT NULL DEFAULT '[]',  -- JSON: what the tolerant reader mended
    detail            text,                 -- which field, what was expected, what came
    released_at_us    bigint,
    released_by       text,
    release_reason    text,
    released_position bigint
);
CREATE INDEX quarantine_received_idx ON quarantine (received_at_us, id);
CREATE INDEX quarantine_reason_idx ON quarantine (reason, received_at_us, id);
CREATE INDEX quarantine_stream_idx ON quarantine (stream_id, received_at_us, id);
CREATE INDEX quarantine_unreleased_idx ON quarantine (received_at_us, id) WHERE released_at_us IS NULL;

-- What the quarantine holds now, per budget: strangers must not be able to fill the disk. Its rows are the
-- lock of whoever changes the quarantine, taken before the ledger's head.
CREATE TABLE quarantine_usage (
    budget text PRIMARY KEY,  -- signed: expired and too_far_ahead; refused: the others; released: evidence
    rows   bigint NOT NULL,
    bytes  bigint NOT NULL
);
INSERT INTO quarantine_usage VALUES ('signed', 0, 0), ('refused', 0, 0), ('released', 0, 0);

-- The conserved quantity: received = ledger + quarantine + counted refusals.
CREATE TABLE intake_counters (
    outcome text PRIMARY KEY,  -- received, ledger, quarantine:REASON, refused:REASON, released, acted, imported
    count   bigint NOT NULL
);

-- The append, whole: one call is one round trip and one transaction, and the only way into the ledger.
--   expected_versions  null, or for each event its version, 0 where the append may number it
--   look_first         pass over what is there by its delivery id: after a commit that nobody answered for, and
--                      in an import; where nothing is new, nothing is counted either
--   event_outcome      null, or what each event that is new counts as
-- The answer has a position for each event given, and how many of them were new.
CREATE FUNCTION append_events(
    channel text,
    originator_ids text[], expected_versions bigint[], topics text[], states bytea[], delivery_ids uuid[],
    look_first boolean, event_outcome text, outcomes text[], counts bigint[],
    OUT positions bigint[], OUT appended bigint
) LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    given  uuid[] := delivery_ids;
    fresh  bigint[];
    before bigint;
BEGIN
    IF look_first THEN
        PERFORM FROM ledger_head WHERE sole FOR UPDATE;  -- waits for an earlier try that may still be on its way
        fresh := ARRAY(
            SELECT min(asked.ordinal)
            FROM unnest(delivery_ids) WITH ORDINALITY AS asked(delivery_id, ordinal)
            WHERE (SELECT stored.notification_id FROM ledger_events AS stored
                   WHERE stored.delivery_id = asked.delivery_id) IS NULL
            GROUP BY asked.delivery_id);
        IF cardinality(fresh) < cardinality(delivery_ids) THEN
            SELECT array_agg(originator_id ORDER BY ordinal), array_agg(topic ORDER BY ordinal),
                   array_agg(state ORDER BY ordinal), array_agg(delivery_id ORDER BY ordinal)
            INTO originator_ids, topics, states, delivery_ids
            FROM unnest(originator_ids, topics, states, delivery_ids)
            WITH ORDINALITY AS row(originator_id, topic, state, delivery_id, ordinal)
            WHERE ordinal = ANY (fresh);
        END IF;
    END IF;
    appended := coalesce(cardinality(delivery_ids), 0);
    IF appended > 0 THEN
        -- This waits until the writer before has committed; the statement after it sees what that one wrote.
        UPDATE ledger_head SET position = position + appended WHERE sole
        RETURNING position - appended INTO before;
        WITH incoming AS (
            SELECT * FROM unnest(originator_ids, topics, states, delivery_ids)
            WITH ORDINALITY AS row(originator_id, topic, state, delivery_id, ordinal)
        ), heads AS (
            SELECT originator_id, coalesce((
                SELECT stored.originator_version FROM ledger_events AS stored
                WHERE stored.originator_id = named.originator_id
                ORDER BY stored.originator_version DESC LIMIT 1), 0) AS last_version
            FROM (SELECT DISTINCT originator_id FROM incoming) AS named
        )
        INSERT INTO ledger_events
            (originator_id, originator_version, topic, state, notification_id, delivery_id)
        SELECT originator_id,
               last_version + row_number() OVER (PARTITION BY originator_id ORDER BY ordinal),
               topic, state, before + ordinal, delivery_id
        FROM incoming JOIN heads USING (originator_id)
        ORDER BY ordinal;
    END IF;
    IF appended < cardinality(given) THEN
        SELECT array_agg(stored.notification_id ORDER BY asked.ordinal) INTO positions
        FROM unnest(given) WITH ORDINALITY AS asked(delivery_id, ordinal)
        JOIN ledger_events AS stored USING (delivery_id);
        IF appended = 0 AND cardinality(given) > 0 THEN
            RETURN;
        END IF;
    ELSE
        SELECT array_agg(position ORDER BY position) INTO positions
        FROM generate_series(before + 1, before + appended) AS taken(position);
    END IF;
    IF expected_versions IS NOT NULL AND EXISTS (
        SELECT FROM unnest(given, expected_versions) AS expected(delivery_id, version)
        JOIN ledger_events AS stored USING (delivery_id)
        WHERE version NOT IN (0, stored.originator_version)
    ) THEN
        RAISE EXCEPTION 'an event of the batch has another version in its stream'
            USING ERRCODE = 'unique_violation';
    END IF;
    INSERT INTO intake_counters (outcome, count)
        SELECT counted.outcome, sum(counted.count)
        FROM unnest(outcomes || event_outcome, counts || appended) AS counted(outcome, count)
        WHERE counted.outcome IS NOT NULL GROUP BY 1 ORDER BY 1
        ON CONFLICT (outcome) DO UPDATE SET count = intake_counters.count + excluded.count;
    PERFORM pg_notify(channel, '');  -- once a batch; a hint to look, never the only way to learn of an event
END $$;

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
