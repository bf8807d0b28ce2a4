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
REVOKE ALL ON FUNCTION
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
FROM quorate_node;
-- As functions are when they are made.
GRANT EXECUTE ON FUNCTION
    public.quorate_check_lost_record(),
    public.quorate_follow_last_record(),
    public.quorate_judge_certificate(),
    public.quorate_keep_key(bytea),
    public.quorate_remember_record(),
    public.quorate_verify_equivocation(),
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
TO PUBLIC;
REVOKE USAGE ON SCHEMA public FROM quorate_node;

DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM quorate_node', current_database());
END
$$;
