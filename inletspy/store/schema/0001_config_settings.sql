-- The settings. A platform may have the table already, with keys of its own in it: then
-- it is used as it is, and only the trigger is added.

DO $$
BEGIN
    -- Not CREATE TABLE IF NOT EXISTS, which looks into the first schema of the path only.
    IF to_regclass('config_settings') IS NULL THEN
        CREATE TABLE config_settings (
            key VARCHAR(255) PRIMARY KEY,
            value TEXT,
            type VARCHAR(50) NOT NULL DEFAULT 'string',
            description TEXT,
            default_value TEXT,
            created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
        );
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION inletspy_config_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- A hint without content: who listens reads all rows again.
    PERFORM pg_notify('inletspy_config', '');
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS inletspy_config_changed ON config_settings;

CREATE TRIGGER inletspy_config_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON config_settings
FOR EACH STATEMENT EXECUTE FUNCTION inletspy_config_changed();
