-- How far a rebuild is with its indexes: how many are made, of how many, and the seconds that are left of it.
ALTER TABLE rebuilds ADD COLUMN indexes_done integer NOT NULL DEFAULT 0;
ALTER TABLE rebuilds ADD COLUMN indexes_total integer NOT NULL DEFAULT 0;
ALTER TABLE rebuilds ADD COLUMN indexes_left_s double precision;  -- null while nobody can say
