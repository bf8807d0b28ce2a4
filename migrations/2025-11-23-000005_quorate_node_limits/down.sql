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

-- The role's connection limit stays, as the role does: they belong to the whole server, and other databases use them.
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    EXECUTE format('ALTER ROLE quorate_node IN DATABASE %I RESET ALL', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
