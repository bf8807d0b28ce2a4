-- The role stays, with its connection limit: it belongs to the whole server, and other databases may use it.
DROP FUNCTION public.quorate_limit_node_role();
DROP FUNCTION public.quorate_grant_node_role();

DO $$
BEGIN
    GRANT EXECUTE ON FUNCTION
        pg_catalog.lo_create(oid), pg_catalog.lo_creat(integer), pg_catalog.lo_from_bytea(oid, bytea)
    TO PUBLIC;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;

DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    EXECUTE format('ALTER ROLE quorate_node IN DATABASE %I RESET ALL', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;

REVOKE ALL ON
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
FROM quorate_node;
-- As functions are when they are made.
DO $$
DECLARE
    own regprocedure;
BEGIN
    FOR own IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'quorate\_%'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM quorate_node', own);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', own);
    END LOOP;
END
$$;
REVOKE USAGE ON SCHEMA public FROM quorate_node;

DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM quorate_node', current_database());
END
$$;
