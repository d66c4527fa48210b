-- What one process at a time may do, and who does it. A row is there while somebody holds it.
CREATE TABLE leases (
    name            text        PRIMARY KEY,  -- rebuild
    holder          text        NOT NULL,     -- an id that its holder made for this one time
    until           timestamptz NOT NULL,     -- by the server's clock; moved on while the holder lives
    -- The connection by which it is held: where that can be seen to be gone, nobody waits for the end.
    cluster         bigint      NOT NULL,     -- system identifier of the server that it was made to
    pid             integer     NOT NULL,
    connected_at    timestamptz NOT NULL
);
