-- A rebuild may be asked for up to a position only; null for all of history.
ALTER TABLE rebuilds ADD COLUMN to_position bigint;
