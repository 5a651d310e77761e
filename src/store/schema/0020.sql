-- Every grant of somebody, of a client or for a resource that was made before then is over (`ended_before`). There is a reason
-- for as long as rows of `grants` have yet to say so themselves.
ALTER TABLE revocations ADD COLUMN ending TEXT;
ALTER TABLE revocations ADD COLUMN ended_before BIGINT;
ALTER TABLE revocations ADD COLUMN ending_reason TEXT;
CREATE INDEX revocations_ending ON revocations (ending) WHERE ending_reason IS NOT NULL;
