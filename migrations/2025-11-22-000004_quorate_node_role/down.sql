-- The role stays: it belongs to the whole server, and other databases may use it.
REVOKE ALL ON
    public.quorate_settings,
    public.eth_prices,
    public.eth_price_signatures,
    public.eth_prices_signed,
    public.__diesel_schema_migrations
FROM quorate_node;
REVOKE USAGE ON SCHEMA public FROM quorate_node;

DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM quorate_node', current_database());
END
$$;
