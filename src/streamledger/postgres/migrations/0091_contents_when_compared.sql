-- A content is compared with others once there are others: until then its event in the ledger has it.
ALTER TABLE timeline ALTER COLUMN content DROP NOT NULL;  -- null while there was one delivery
