-- Tokens that were made with other tokens end with them.

ALTER TABLE inletspy_tokens
    ADD COLUMN made_by BYTEA REFERENCES inletspy_tokens (digest) ON DELETE CASCADE;

CREATE INDEX inletspy_tokens_made_by ON inletspy_tokens (made_by);
