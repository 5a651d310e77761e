-- Calls that wait for a person. Of one call there is one row at most that is not used.
CREATE TABLE approvals (
  id TEXT PRIMARY KEY, organisation TEXT NOT NULL DEFAULT 'default', call_digest BLOB NOT NULL, issuer TEXT NOT NULL,
  subject TEXT NOT NULL, client_id TEXT, asserted TEXT, tool TEXT NOT NULL, sealed_arguments TEXT NOT NULL,
  rule TEXT NOT NULL, policy_version TEXT NOT NULL, approvers TEXT NOT NULL, self_approval BIGINT NOT NULL,
  state TEXT NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, approver TEXT, comment TEXT,
  answered_at BIGINT);
CREATE UNIQUE INDEX approvals_call ON approvals (call_digest) WHERE state <> 'used';
CREATE INDEX approvals_requester ON approvals (issuer, subject) WHERE state = 'pending';
CREATE INDEX approvals_end ON approvals (expires_at);
