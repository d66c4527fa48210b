-- Of pairs of t and sign the last that came are kept, whatever their t: old logs may come after new ones.
ALTER TABLE signed_pairs ADD COLUMN position bigint NOT NULL DEFAULT 0;  -- of the delivery that showed it first
