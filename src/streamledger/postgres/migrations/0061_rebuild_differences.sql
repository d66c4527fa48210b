-- What a dry run would change, kept with it so that it can be shown: counts by table, and the first rows.
ALTER TABLE rebuilds ADD COLUMN differences jsonb;  -- null unless the purpose is dry_run and it is done
