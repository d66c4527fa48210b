-- What attribution by time (ADR 0008), presence and the lists of a stream need of the read model.

ALTER TABLE sessions
    ADD COLUMN start_known boolean NOT NULL DEFAULT false,  -- the start is reported or inferred: then it is sort_ms
    ADD COLUMN app     text,
    ADD COLUMN appname text,
    ADD COLUMN newer_ms bigint NOT NULL DEFAULT 9223372036854775807;  -- without a stop: start of the next push at this place
-- Which open sessions a start that comes late, or moves, is the next push of.
CREATE INDEX sessions_newer_idx ON sessions (stream_id, newer_ms) WHERE NOT ended;

ALTER TABLE timeline ADD COLUMN note text;  -- record_event of a recording status
CREATE INDEX timeline_status_idx ON timeline (stream_id, sequence, at_ms, key) WHERE kind = 'recording_status';
CREATE INDEX timeline_unattributed_idx ON timeline (at_ms, stream_id, kind, key)
    WHERE sequence = '' AND kind IN ('recording', 'screenshot', 'recording_status', 'recording_exception');
CREATE INDEX timeline_stream_unattributed_idx ON timeline (stream_id, at_ms, kind, key)
    WHERE sequence = '' AND kind IN ('recording', 'screenshot', 'recording_status', 'recording_exception');
-- What belongs to a stream and to none of its sessions: types not modelled, and pushes without a sequence.
CREATE INDEX timeline_of_stream_idx ON timeline (stream_id, at_ms, kind, key)
    WHERE kind = 'other' OR (sequence = '' AND kind IN ('push_started', 'push_stopped', 'push_error'));

ALTER TABLE streams
    ADD COLUMN open_sessions integer NOT NULL DEFAULT 0,  -- sessions without a stop
    ADD COLUMN latest_ms     bigint  NOT NULL DEFAULT 0;  -- time of the latest fact of the stream
CREATE INDEX streams_open_idx ON streams (stream_id) WHERE open_sessions > 0;
