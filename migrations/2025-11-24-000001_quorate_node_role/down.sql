-- The role stays, with its connection limit: it belongs to the whole server, and other databases may use it.
DROP FUNCTION public.quorate_limit_node_role();

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

REVOKE ALL ON public.__diesel_schema_migrations FROM quorate_node;
REVOKE USAGE ON SCHEMA public FROM quorate_node;

DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM quorate_node', current_database());
END
$$;
