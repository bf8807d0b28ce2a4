-- The role of the nodes: reads everything, inserts the columns that it owns, and gets no more of anything than it needs.

-- Makes the role, and gives it what nodes need. Nothing of it is part of a dump (the role belongs to the whole server, and
-- without it a restore loses its privileges), so every `quorate migrate` calls it.
CREATE FUNCTION public.quorate_grant_node_role() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own regprocedure;
BEGIN
    -- It may be there already, or another database's migration may win the race. `quorate migrate --node-password-file`
    -- lets it log in.
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quorate_node') THEN
            CREATE ROLE quorate_node NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO quorate_node', current_database());
    -- Servers before 15 let everybody create tables in public.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO quorate_node;

    GRANT SELECT ON
        public.quorate_settings,
        public.quorate_members,
        public.eth_prices,
        public.eth_prices_readable,
        public.eth_prices_hex,
        public.eth_prices_archived,
        public.eth_prices_lost,
        public.eth_price_equivocations,
        public.quorate_signer_keys,
        public.__diesel_schema_migrations
    TO quorate_node;
    GRANT INSERT (
        sequence, "timestamp", feed, price, observer, written_by, previous, digest, network, evidence,
        signers, signatures, validators
    ) ON public.eth_prices TO quorate_node;
    GRANT INSERT (
        sequence, "timestamp", feed, price, observer, found_by, previous, digest, network, evidence,
        signers, signatures, validators
    ) ON public.eth_prices_lost TO quorate_node;
    GRANT INSERT (
        observer, feed, sequence, previous, network,
        first_digest, first_timestamp, first_price, first_evidence, first_signature,
        second_digest, second_timestamp, second_price, second_evidence, second_signature,
        found_by
    ) ON public.eth_price_equivocations TO quorate_node;

    -- Everybody may call a new function, also one that a restore has made.
    FOR own IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'quorate\_%'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', own);
    END LOOP;
    -- Computation, so that nodes and readers can check for themselves; nothing of it can change anything.
    GRANT EXECUTE ON FUNCTION
        public.quorate_address(bytea),
        public.quorate_digest(text, text, bigint, bytea, numeric, timestamptz, bytea, text),
        public.quorate_inverse(numeric, numeric),
        public.quorate_is_median_of(numeric, text),
        public.quorate_is_member(bytea, timestamptz),
        public.quorate_is_signed(bytea, bytea, bytea),
        public.quorate_keccak256(bytea),
        public.quorate_multiples(bytea),
        public.quorate_number(bytea),
        public.quorate_read_signature(bytea),
        public.quorate_recover(bytea, bytea),
        public.quorate_recover_key(bytea, bytea),
        public.quorate_refuse(text, text, text),
        public.quorate_require_read_committed(text),
        public.quorate_sum(bytea, numeric[], numeric[], bytea, numeric[], numeric[]),
        public.quorate_word(numeric)
    TO quorate_node;

    -- Large objects would fill the disk. Only a superuser can refuse them; for any other owner this does nothing.
    BEGIN
        REVOKE EXECUTE ON FUNCTION
            pg_catalog.lo_create(oid), pg_catalog.lo_creat(integer), pg_catalog.lo_from_bytea(oid, bytea)
        FROM PUBLIC;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;
    END;
END
$$;
REVOKE ALL ON FUNCTION public.quorate_grant_node_role() FROM PUBLIC;
COMMENT ON FUNCTION public.quorate_grant_node_role() IS
    'For the owner: makes the role quorate_node and grants it what nodes need, as after a restore on another server';

-- Gives the role its limits, and takes back what somebody with its password may have set for it: any role can change the
-- defaults of its own sessions (ALTER ROLE quorate_node SET default_transaction_read_only = on). Every `quorate migrate`
-- calls it, for nothing of it is part of a dump or of a copy of the database.
--
-- A session can raise its own time limits: those are for accidents, like a psql that somebody has left in a transaction;
-- the nodes set lower ones. More connections it cannot give itself.
CREATE FUNCTION public.quorate_limit_node_role() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here CONSTANT text := format('ALTER ROLE quorate_node IN DATABASE %I ', current_database());
    -- Some stay for the owner, however many a thief opens.
    connections CONSTANT integer := current_setting('max_connections')::integer * 9 / 10;
BEGIN
    -- Temporary tables would fill the disk. Everybody may make them, unless told otherwise.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    -- The role belongs to the whole server: the migration of another database may be at it.
    FOR attempt IN 1 .. 20 LOOP
        BEGIN
            IF EXISTS (
                SELECT FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 'quorate_node'::regrole
            ) THEN
                ALTER ROLE quorate_node RESET ALL;
            END IF;
            EXECUTE here || 'RESET ALL';
            EXECUTE here || format('SET statement_timeout = %L', '60s');
            EXECUTE here || format('SET lock_timeout = %L', '30s');
            EXECUTE here || format('SET idle_in_transaction_session_timeout = %L', '30s');
            IF NOT EXISTS (
                SELECT FROM pg_roles WHERE rolname = 'quorate_node' AND rolconnlimit = connections
            ) THEN
                EXECUTE format('ALTER ROLE quorate_node CONNECTION LIMIT %s', connections);
            END IF;
            EXIT;
        EXCEPTION
            WHEN internal_error THEN
                PERFORM pg_sleep(0.05 * attempt);
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role quorate_node is not ours to limit: %', SQLERRM;
                RETURN;
        END;
    END LOOP;
    -- What a query may spill to disk. Only a superuser can set it.
    BEGIN
        EXECUTE here || format('SET temp_file_limit = %L', '256MB');
    EXCEPTION WHEN insufficient_privilege OR internal_error THEN
        NULL;
    END;
END
$$;
REVOKE ALL ON FUNCTION public.quorate_limit_node_role() FROM PUBLIC;
COMMENT ON FUNCTION public.quorate_limit_node_role() IS
    'For the owner: gives the role quorate_node its limits again, whatever somebody with its password has set';

SELECT public.quorate_grant_node_role();
SELECT public.quorate_limit_node_role();
