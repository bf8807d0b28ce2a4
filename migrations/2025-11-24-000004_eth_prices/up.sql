-- The records. Needs PostgreSQL 13 or later: xid8, and btree_gist as an extension that an owner may create.

CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;

-- Whether the evidence is what every reader can read (1 to 16 quotes, sorted by source, one of each, nothing else in
-- them) and the price is its median: of an even number the midpoint, rounded down to 18 decimals.
CREATE FUNCTION public.quorate_is_median_of(price numeric, evidence jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    quote jsonb;
    last_source text COLLATE "C" := '';
    prices numeric[] := '{}';
    quotes integer;
BEGIN
    IF jsonb_typeof(evidence) <> 'array' THEN
        RETURN false;
    END IF;
    quotes := jsonb_array_length(evidence);
    -- 4096 bytes: twice what 16 quotes with the longest names and prices need.
    IF quotes NOT BETWEEN 1 AND 16 OR octet_length(evidence::text) > 4096 THEN
        RETURN false;
    END IF;
    FOR quote IN SELECT value FROM jsonb_array_elements(evidence) LOOP
        IF jsonb_typeof(quote) <> 'object' THEN
            RETURN false;
        END IF;
        IF (
            quote - ARRAY['source', 'price', 'at'] = '{}'
            AND jsonb_typeof(quote -> 'source') = 'string' AND quote ->> 'source' ~ '^[a-z0-9-]{1,32}$'
            AND jsonb_typeof(quote -> 'price') = 'string' AND quote ->> 'price' ~ '^[0-9]{1,19}([.][0-9]{1,18})?$'
            AND jsonb_typeof(quote -> 'at') = 'number' AND quote ->> 'at' ~ '^[0-9]{1,20}$'
        ) IS NOT TRUE THEN
            RETURN false;
        END IF;
        IF quote ->> 'source' <= last_source
            OR (quote ->> 'price')::numeric NOT BETWEEN 0.000000000000000001 AND 1000000000000000000
            OR (quote ->> 'at')::numeric > 18446744073709551615
        THEN
            RETURN false;
        END IF;
        last_source := quote ->> 'source';
        prices := prices || (quote ->> 'price')::numeric;
    END LOOP;
    prices := ARRAY(SELECT one FROM unnest(prices) AS one ORDER BY one);
    IF quotes % 2 = 1 THEN
        RETURN price = prices[quotes / 2 + 1];
    END IF;
    RETURN price = trunc((prices[quotes / 2] + prices[quotes / 2 + 1]) * 0.5, 18);
END
$$;

CREATE TABLE public.eth_prices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "timestamp" timestamptz(3) NOT NULL,
    feed text NOT NULL,
    price numeric NOT NULL,
    observer text NOT NULL,
    written_at timestamptz NOT NULL,
    written_by text NOT NULL,
    digest text NOT NULL,
    evidence jsonb NOT NULL,
    network text NOT NULL,
    write_window tstzrange NOT NULL,
    written_in xid8 NOT NULL,

    CONSTRAINT eth_prices_digest_once UNIQUE (digest),
    -- No two windows of a feed overlap, so no two records are less than one window apart, under any concurrency.
    CONSTRAINT eth_prices_one_a_window EXCLUDE USING gist (feed WITH =, write_window WITH &&),

    CONSTRAINT eth_prices_timestamp_in_range CHECK (
        "timestamp" >= '1970-01-01 00:00:00+00' AND "timestamp" < '10000-01-01 00:00:00+00'
    ),
    CONSTRAINT eth_prices_feed_is_a_pair CHECK (feed ~ '^[A-Z0-9]{2,10}/[A-Z0-9]{2,10}$'),
    -- NaN and Infinity are above every number, so the upper bound refuses them too.
    CONSTRAINT eth_prices_price_in_range CHECK (price > 0 AND price <= 1000000000000000000 AND scale(price) <= 18),
    CONSTRAINT eth_prices_observer_is_an_address CHECK (observer ~ '^0x[0-9a-fA-F]{40}$'),
    CONSTRAINT eth_prices_written_by_is_an_address CHECK (written_by ~ '^0x[0-9a-fA-F]{40}$'),
    CONSTRAINT eth_prices_digest_is_a_hash CHECK (digest ~ '^0x[0-9a-f]{64}$'),
    CONSTRAINT eth_prices_network_is_a_name CHECK (network ~ '^[a-z0-9-]{1,32}$'),
    CONSTRAINT eth_prices_price_is_median_of_evidence CHECK (public.quorate_is_median_of(price, evidence)),
    CONSTRAINT eth_prices_window_opens_at_written_at CHECK (
        NOT isempty(write_window)
        AND lower_inc(write_window) AND lower(write_window) = written_at
        AND NOT upper_inf(write_window)
    )
);

-- The last record of a feed: asked by every node at its start and after every refusal.
CREATE INDEX eth_prices_last_of_a_feed ON public.eth_prices (feed, written_at DESC);
-- ORDER BY timestamp DESC, as people and the API ask.
CREATE INDEX eth_prices_newest ON public.eth_prices ("timestamp" DESC);

-- Sets what no client may choose: when the record was written, its window, its transaction.
CREATE FUNCTION public.quorate_stamp_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width interval;
BEGIN
    -- One writer of a feed at a time. Without it, two that insert in the same instant can each wait for the other to
    -- end, to see whether its window stands, until the deadlock detector aborts one of them a second later.
    PERFORM pg_advisory_xact_lock(hashtext('quorate write window'), hashtext(NEW.feed));
    SELECT write_interval INTO STRICT width FROM public.quorate_settings;
    NEW.written_at := clock_timestamp();
    NEW.write_window := tstzrange(NEW.written_at, NEW.written_at + width, '[)');
    NEW.written_in := pg_current_xact_id();
    RETURN NEW;
END
$$;

CREATE TRIGGER quorate_stamp_record BEFORE INSERT ON public.eth_prices
    FOR EACH ROW EXECUTE FUNCTION public.quorate_stamp_record();

-- Digest and signatures are checked at the end of the statement that inserts them, by triggers that no session can
-- defer or bring forward (SET CONSTRAINTS). A rival that loses (same digest, same window) has been refused before that,
-- and pays nothing. Measured on one core: 1 ms for the digest and 5 ms for each signature.
CREATE FUNCTION public.quorate_verify_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    computed text;
    oldest interval;
BEGIN
    -- At the other levels a transaction that was begun long ago would see the settings and members of that time.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_isolation_is_read_committed', format(
            'records are written at isolation level read committed, not %s', current_setting('transaction_isolation')
        ));
    END IF;

    -- A certificate that somebody has kept back is news no more.
    SELECT greatest(write_interval * 10, interval '10 minutes') INTO STRICT oldest FROM public.quorate_settings;
    IF NEW."timestamp" < NEW.written_at - oldest OR NEW."timestamp" > NEW.written_at + interval '1 minute' THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_timestamp_is_recent', format(
            'the observation is dated %s, by the clock of this database it is %s: more than %s old or 00:01:00 ahead',
            NEW."timestamp", NEW.written_at, oldest
        ));
    END IF;

    computed := public.quorate_digest(
        NEW.network, NEW.feed, NEW.price, NEW."timestamp", NEW.observer, NEW.evidence
    );
    IF computed IS DISTINCT FROM NEW.digest THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_digest_matches', format(
            'the digest is %s, the contents of the record hash to %s', NEW.digest, computed
        ));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER quorate_verify_record AFTER INSERT ON public.eth_prices
    FOR EACH ROW EXECUTE FUNCTION public.quorate_verify_record();

COMMENT ON TABLE public.eth_prices IS
    'One row a record: a price that a quorum of nodes has signed. With its signatures: SELECT * FROM eth_prices_signed';
COMMENT ON COLUMN public.eth_prices.id IS
    'Counts up; gaps are attempts that were refused';
COMMENT ON COLUMN public.eth_prices."timestamp" IS
    'When the price was observed, by the clock of the observer; milliseconds, as signed';
COMMENT ON COLUMN public.eth_prices.feed IS
    'What is priced: units of the second currency for one of the first';
COMMENT ON COLUMN public.eth_prices.price IS
    'The median of the quotes in evidence';
COMMENT ON COLUMN public.eth_prices.observer IS
    'Ethereum address of the node that states the price; always among the signers';
COMMENT ON COLUMN public.eth_prices.written_at IS
    'When the record was written, by the clock of this database; no client can choose it';
COMMENT ON COLUMN public.eth_prices.written_by IS
    'Ethereum address of the node that wrote the record; its own word, not signed';
COMMENT ON COLUMN public.eth_prices.digest IS
    'EIP-712 hash of the observation: what every signer of the record has signed';
COMMENT ON COLUMN public.eth_prices.evidence IS
    'The quotes behind the price, sorted by source: source, price, and at in Unix milliseconds; covered by the digest';
COMMENT ON COLUMN public.eth_prices.network IS
    'Name of the network that the signatures are for; part of the digest';
COMMENT ON COLUMN public.eth_prices.write_window IS
    'From written_at to the earliest time of the next record of the feed; no two of a feed overlap';
COMMENT ON COLUMN public.eth_prices.written_in IS
    'The transaction that wrote the record: only it may add signatures';
