-- What the page asks for beside the JSON interface.

-- Deliveries by minute of receipt and kind: the small plots, without a scan of the ledger.
CREATE TABLE minutes (
    minute_ms  bigint  NOT NULL,  -- milliseconds since 1970 UTC, a whole minute
    kind       text    NOT NULL,  -- domain.notification.Kind
    deliveries integer NOT NULL,  -- repeated ones too
    PRIMARY KEY (minute_ms, kind)
);

-- Open sessions by start: who is live now, newest first, and the oldest of them, without touching ended ones.
CREATE INDEX sessions_open_sort_idx ON sessions (sort_ms, stream_id, sequence) WHERE NOT ended;
