-- What judges the next try: from when on the latest one may have been sent, and the try before it.
ALTER TABLE notifications ADD COLUMN sent_from_ms bigint;   -- before its receipt, if it may have waited
ALTER TABLE notifications ADD COLUMN before text;           -- the try before the latest, as JSON

-- A push that began at about the same time was not pushed after this one: it says nothing against it.
ALTER TABLE sessions ADD COLUMN rival_ms bigint NOT NULL DEFAULT 9223372036854775807;
