-- Users, their tokens and the names reserved for them. With a prefix, as the platform
-- whose database this may be has users and tokens of its own.

CREATE TABLE inletspy_users (
    name TEXT PRIMARY KEY,
    prefix TEXT NOT NULL UNIQUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP CHECK (isfinite(created_at))
);

CREATE TABLE inletspy_tokens (
    digest BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    user_name TEXT NOT NULL REFERENCES inletspy_users (name) ON DELETE CASCADE,
    prefix TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    names TEXT[] NOT NULL DEFAULT '{}',
    port_first INTEGER,
    port_last INTEGER,
    limits JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP CHECK (isfinite(created_at)),
    expires_at TIMESTAMPTZ CHECK (isfinite(expires_at)),
    revoked_at TIMESTAMPTZ CHECK (isfinite(revoked_at)),
    last_used_at TIMESTAMPTZ CHECK (isfinite(last_used_at)),
    CHECK ((port_first IS NULL) = (port_last IS NULL))
);

CREATE INDEX inletspy_tokens_user_name ON inletspy_tokens (user_name);

CREATE TABLE inletspy_names (
    name TEXT PRIMARY KEY,
    user_name TEXT NOT NULL REFERENCES inletspy_users (name) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP CHECK (isfinite(created_at))
);

CREATE INDEX inletspy_names_user_name ON inletspy_names (user_name);

CREATE FUNCTION inletspy_accounts_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- A hint without content: who listens reads all rows again.
    PERFORM pg_notify('inletspy_accounts', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER inletspy_users_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON inletspy_users
FOR EACH STATEMENT EXECUTE FUNCTION inletspy_accounts_changed();

-- That a token was used is noted often, and changes nothing for anybody.
CREATE TRIGGER inletspy_tokens_changed
AFTER INSERT OR DELETE OR TRUNCATE
OR UPDATE OF digest, user_name, prefix, scopes, names, port_first, port_last, limits,
    expires_at, revoked_at
ON inletspy_tokens
FOR EACH STATEMENT EXECUTE FUNCTION inletspy_accounts_changed();

CREATE TRIGGER inletspy_names_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON inletspy_names
FOR EACH STATEMENT EXECUTE FUNCTION inletspy_accounts_changed();
