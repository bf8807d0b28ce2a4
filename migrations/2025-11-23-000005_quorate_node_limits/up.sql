-- What the role of the nodes gets no more of than it needs. A session can raise its own time limits again: those are
-- for accidents, like a psql that somebody has left in a transaction; the nodes set lower ones. Connections and
-- temporary tables it cannot give itself.

DO $$
DECLARE
    -- Some connections stay for the owner, however many a thief opens.
    connections CONSTANT integer := current_setting('max_connections')::integer * 9 / 10;
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('ALTER ROLE quorate_node IN DATABASE %I SET statement_timeout = %L', current_database(), '60s');
    EXECUTE format('ALTER ROLE quorate_node IN DATABASE %I SET lock_timeout = %L', current_database(), '30s');
    EXECUTE format(
        'ALTER ROLE quorate_node IN DATABASE %I SET idle_in_transaction_session_timeout = %L', current_database(), '30s'
    );
    -- The role belongs to the whole server: the migration of another database may be at it.
    FOR attempt IN 1 .. 20 LOOP
        BEGIN
            EXECUTE format('ALTER ROLE quorate_node CONNECTION LIMIT %s', connections);
            EXIT;
        EXCEPTION WHEN internal_error THEN
            PERFORM pg_sleep(0.05 * attempt);
        END;
    END LOOP;
END
$$;
