-- Time travel: the timeline as an index into the ledger, also for what was known and what had happened.

-- Positions of the deliveries after the first, up to 32: how many had come by a position. Null for most.
ALTER TABLE timeline ADD COLUMN copies jsonb;

-- The position is in the index, so that counting a long session's screenshots as of a position reads it alone.
DROP INDEX timeline_session_idx;
CREATE INDEX timeline_session_idx ON timeline (stream_id, sequence, at_ms, kind, key) INCLUDE (position);
-- What defines sessions is rare beside media.
CREATE INDEX timeline_defining_idx ON timeline (stream_id, sequence, position)
    WHERE kind NOT IN ('screenshot', 'recording');
-- What was delivered with several contents may have lain elsewhere, or not at all, at an earlier position.
CREATE INDEX timeline_rivals_idx ON timeline (stream_id, kind, key) WHERE rivals IS NOT NULL;
