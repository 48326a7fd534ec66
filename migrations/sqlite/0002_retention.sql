-- Retention: what policy versions say of it, holds, and what is due to be erased. Everything here is derived, too.
--
-- A policy version that was kept before could say nothing of retention: it keeps content for ever, and holds nothing.

ALTER TABLE policy ADD COLUMN content_seconds INTEGER; -- NULL: for ever
ALTER TABLE policy ADD COLUMN hold TEXT;
ALTER TABLE policy ADD COLUMN early_erasure INTEGER NOT NULL DEFAULT 1;
CREATE INDEX policy_class ON policy (project, digest, content_seconds) WHERE content_seconds IS NOT NULL;

ALTER TABLE project ADD COLUMN hold TEXT; -- JSON

ALTER TABLE session ADD COLUMN closed_at INTEGER; -- of `state`; NULL as long as it is not over
ALTER TABLE session ADD COLUMN hold TEXT; -- JSON
ALTER TABLE session ADD COLUMN erased_at INTEGER;
UPDATE session SET closed_at = updated_at WHERE state_name IN ('sealed', 'refused', 'failed', 'interrupted');
-- All sessions of one policy version are kept for as long, so that each version's come in the order of their ends.
CREATE INDEX session_kept ON session (project, policy, closed_at, id)
    WHERE closed_at IS NOT NULL AND erased_at IS NULL;
CREATE INDEX session_free ON session (project, policy, closed_at, id)
    WHERE closed_at IS NOT NULL AND erased_at IS NULL AND hold IS NULL;
CREATE INDEX session_held ON session (id) WHERE hold IS NOT NULL;
