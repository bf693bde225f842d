-- The share links that were made, to list and to revoke them. What one is good for stands in
-- itself; none of its secrets are here. The owner may be the shared token, who is no user, and
-- a user who is removed and comes back must not find good again what was revoked: no reference.

CREATE TABLE inletspy_links (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    target TEXT NOT NULL,
    key_mark TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL CHECK (isfinite(created_at)),
    expires_at TIMESTAMPTZ NOT NULL CHECK (isfinite(expires_at)),
    revoked_at TIMESTAMPTZ CHECK (isfinite(revoked_at))
);

CREATE INDEX inletspy_links_expires_at ON inletspy_links (expires_at);

CREATE FUNCTION inletspy_links_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- A hint without content: who listens reads all rows again.
    PERFORM pg_notify('inletspy_links', '');
    RETURN NULL;
END
$$;

-- Rows of links that have ended are deleted, which changes nothing for anybody.
CREATE TRIGGER inletspy_links_changed
AFTER INSERT OR UPDATE OR TRUNCATE ON inletspy_links
FOR EACH STATEMENT EXECUTE FUNCTION inletspy_links_changed();

-- Whoever comes to have a removed user's name must not have that user's visitors, too.
CREATE FUNCTION inletspy_links_of_removed_user() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE inletspy_links SET revoked_at = CURRENT_TIMESTAMP
    WHERE owner = OLD.name AND revoked_at IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER inletspy_links_of_removed_user
AFTER DELETE ON inletspy_users
FOR EACH ROW EXECUTE FUNCTION inletspy_links_of_removed_user();
