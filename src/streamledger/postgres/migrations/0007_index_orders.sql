-- What tells most comes first where rows are told apart: a session's sequence, an identity before its kind.
ALTER TABLE timeline DROP CONSTRAINT timeline_pkey, ADD PRIMARY KEY (stream_id, key, kind, part);
DROP INDEX timeline_session_idx;
CREATE INDEX timeline_session_idx ON timeline (sequence, stream_id, at_ms);
