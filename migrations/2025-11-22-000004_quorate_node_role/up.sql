-- The role of the nodes: reads everything, inserts the columns that it owns, and nothing else.

-- A role belongs to the whole server: it may be there already, or another database's migration may win the race.
-- `quorate migrate --node-password-file` lets it log in.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'quorate_node') THEN
        CREATE ROLE quorate_node NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO quorate_node', current_database());
END
$$;

-- Servers before 15 let everybody create tables in public.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO quorate_node;

GRANT SELECT ON
    public.quorate_settings,
    public.eth_prices,
    public.eth_price_signatures,
    public.eth_prices_signed,
    public.__diesel_schema_migrations
TO quorate_node;

GRANT INSERT ("timestamp", feed, price, observer, written_by, digest, evidence, network)
    ON public.eth_prices TO quorate_node;
GRANT INSERT (digest, signer, signature)
    ON public.eth_price_signatures TO quorate_node;
