-- What tells most comes first where rows are told apart: an identity before its kind, a session's sequence.
ALTER TABLE timeline DROP CONSTRAINT timeline_pkey, ADD PRIMARY KEY (stream_id, key, kind, part);
DROP INDEX timeline_session_idx;
-- With the position: what came after a moment of the past is passed over in the index.
CREATE INDEX timeline_session_idx ON timeline (sequence, stream_id, at_ms, position);
