-- When some node of this ledger was last there, by the clock of the node, and since when nobody had been
-- before somebody came back: what was signed meanwhile is believed for longer (ADR 0022). Neither is in a backup.
CREATE TABLE heartbeat (
    sole  boolean PRIMARY KEY DEFAULT true CHECK (sole),
    at_us bigint  NOT NULL   -- microseconds since 1970 UTC
);
CREATE TABLE absences (
    began_at_us bigint PRIMARY KEY,   -- the last heartbeat before
    ended_at_us bigint NOT NULL
);
