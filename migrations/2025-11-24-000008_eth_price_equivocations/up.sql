-- Proofs that an observer has signed two different statements for one place in a feed's history. Each is complete in itself, and verified
-- by the database before it is kept, so that nobody can be slandered here.

CREATE TABLE public.eth_price_equivocations (
    observer bytea NOT NULL,
    feed text NOT NULL,
    sequence bigint NOT NULL,
    previous bytea NOT NULL,
    network text NOT NULL,
    first_digest bytea NOT NULL,
    first_timestamp timestamptz(3) NOT NULL,
    first_price numeric NOT NULL,
    first_evidence text NOT NULL,
    first_signature bytea NOT NULL,
    second_digest bytea NOT NULL,
    second_timestamp timestamptz(3) NOT NULL,
    second_price numeric NOT NULL,
    second_evidence text NOT NULL,
    second_signature bytea NOT NULL,
    moment interval NOT NULL,
    found_by bytea NOT NULL,
    found_at timestamptz NOT NULL,

    -- A pair has one order, so that it is kept once.
    CONSTRAINT eth_price_equivocations_once PRIMARY KEY (first_digest, second_digest),
    CONSTRAINT eth_price_equivocations_digests_differ CHECK (first_digest < second_digest),
    CONSTRAINT eth_price_equivocations_timestamps_in_range CHECK (
        first_timestamp >= '1970-01-01 00:00:00+00' AND first_timestamp < '10000-01-01 00:00:00+00'
        AND second_timestamp >= '1970-01-01 00:00:00+00' AND second_timestamp < '10000-01-01 00:00:00+00'
    ),
    CONSTRAINT eth_price_equivocations_feed_is_a_pair CHECK (feed ~ '^[A-Z0-9]{2,10}/[A-Z0-9]{2,10}$'),
    CONSTRAINT eth_price_equivocations_network_is_a_name CHECK (network ~ '^[a-z0-9-]{1,32}$'),
    CONSTRAINT eth_price_equivocations_first_follows_nothing CHECK (
        sequence >= 1 AND (sequence = 1) = (previous = decode(repeat('00', 32), 'hex'))
    ),
    CONSTRAINT eth_price_equivocations_lengths CHECK (
        octet_length(observer) = 20 AND octet_length(found_by) = 20 AND octet_length(previous) = 32
        AND octet_length(first_digest) = 32 AND octet_length(second_digest) = 32
    ),
    CONSTRAINT eth_price_equivocations_prices_in_range CHECK (
        first_price > 0 AND first_price <= 1000000000000000000 AND scale(first_price) <= 18
        AND second_price > 0 AND second_price <= 1000000000000000000 AND scale(second_price) <= 18
    ),
    CONSTRAINT eth_price_equivocations_prices_are_medians CHECK (
        public.quorate_is_median_of(first_price, first_evidence)
        AND public.quorate_is_median_of(second_price, second_evidence)
    )
);

CREATE INDEX eth_price_equivocations_of_an_observer ON public.eth_price_equivocations (observer, found_at);
CREATE INDEX eth_price_equivocations_newest ON public.eth_price_equivocations (found_at DESC);

-- Sets what no client may choose, and checks the proof.
CREATE FUNCTION public.quorate_verify_equivocation() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Nobody needs more to be convinced, and nobody can fill the disk: 10 MB a day at most.
    a_day_of_one CONSTANT integer := 16;
    a_day_of_all CONSTANT integer := 1000;
    rows_of_one bigint;
    rows_of_all bigint;
BEGIN
    PERFORM public.quorate_require_read_committed('eth_price_equivocations');
    SELECT least(write_interval / 2, interval '15 seconds') INTO STRICT NEW.moment FROM public.quorate_settings;
    IF greatest(NEW.first_timestamp, NEW.second_timestamp) - least(NEW.first_timestamp, NEW.second_timestamp)
        >= NEW.moment
    THEN
        PERFORM public.quorate_refuse('eth_price_equivocations', 'eth_price_equivocations_of_one_moment', format(
            'the two were observed at %s and %s: %s or more apart, nobody would vouch for both at one moment',
            NEW.first_timestamp, NEW.second_timestamp, NEW.moment
        ));
    END IF;
    IF EXISTS (SELECT FROM public.quorate_members) AND NOT EXISTS (
        SELECT FROM public.quorate_members WHERE lower(address) = '0x' || encode(NEW.observer, 'hex')
    ) THEN
        PERFORM public.quorate_refuse('eth_price_equivocations', 'eth_price_equivocations_by_members', format(
            '0x%s is not among the members of this database (table quorate_members)', encode(NEW.observer, 'hex')
        ));
    END IF;
    IF NEW.first_digest IS DISTINCT FROM public.quorate_digest(
            NEW.network, NEW.feed, NEW.sequence, NEW.previous, NEW.first_price, NEW.first_timestamp, NEW.observer,
            NEW.first_evidence)
        OR NEW.second_digest IS DISTINCT FROM public.quorate_digest(
            NEW.network, NEW.feed, NEW.sequence, NEW.previous, NEW.second_price, NEW.second_timestamp, NEW.observer,
            NEW.second_evidence)
    THEN
        PERFORM public.quorate_refuse('eth_price_equivocations', 'eth_price_equivocations_digests_match',
            'a digest is not that of its statement');
    END IF;
    IF (
        public.quorate_is_signed(NEW.first_digest, NEW.first_signature, NEW.observer)
        AND public.quorate_is_signed(NEW.second_digest, NEW.second_signature, NEW.observer)
    ) IS NOT TRUE THEN
        PERFORM public.quorate_refuse('eth_price_equivocations', 'eth_price_equivocations_signatures_recover', format(
            'a signature does not recover to 0x%s', encode(NEW.observer, 'hex')
        ));
    END IF;

    -- One at a time from here on, so that the count holds.
    PERFORM pg_advisory_xact_lock(hashtext('quorate equivocations'), 0);
    NEW.found_at := clock_timestamp();
    SELECT count(*) FILTER (WHERE observer = NEW.observer), count(*)
        INTO STRICT rows_of_one, rows_of_all
        FROM public.eth_price_equivocations WHERE found_at > NEW.found_at - interval '24 hours';
    IF rows_of_one >= a_day_of_one OR rows_of_all >= a_day_of_all THEN
        PERFORM public.quorate_refuse('eth_price_equivocations', 'eth_price_equivocations_a_day', format(
            'within 24 hours %s equivocations of 0x%s were kept (at most %s), and %s of all (at most %s)',
            rows_of_one, encode(NEW.observer, 'hex'), a_day_of_one, rows_of_all, a_day_of_all
        ));
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER quorate_verify_equivocation BEFORE INSERT ON public.eth_price_equivocations
    FOR EACH ROW EXECUTE FUNCTION public.quorate_verify_equivocation();

COMMENT ON TABLE public.eth_price_equivocations IS
    'Proofs that an observer has signed two different statements for one place in the history. To check them: quorate evidence';
COMMENT ON COLUMN public.eth_price_equivocations.observer IS
    'Ethereum address of the node that made both statements: both signatures recover to it';
COMMENT ON COLUMN public.eth_price_equivocations.feed IS
    'What both statements price';
COMMENT ON COLUMN public.eth_price_equivocations.sequence IS
    'The number that both statements would have as records';
COMMENT ON COLUMN public.eth_price_equivocations.previous IS
    'The digest of the record that both statements follow; zeros for none';
COMMENT ON COLUMN public.eth_price_equivocations.network IS
    'Name of the network that both signatures are for; part of the digests';
COMMENT ON COLUMN public.eth_price_equivocations.first_digest IS
    'EIP-712 hash of the first statement; of the two the lower';
COMMENT ON COLUMN public.eth_price_equivocations.first_timestamp IS
    'When the first statement says that the price was observed';
COMMENT ON COLUMN public.eth_price_equivocations.first_price IS
    'The price of the first statement';
COMMENT ON COLUMN public.eth_price_equivocations.first_evidence IS
    'The quotes behind the first price, a line each: source, price, time in Unix milliseconds';
COMMENT ON COLUMN public.eth_price_equivocations.first_signature IS
    'The signature of the observer over the first digest';
COMMENT ON COLUMN public.eth_price_equivocations.second_digest IS
    'EIP-712 hash of the second statement';
COMMENT ON COLUMN public.eth_price_equivocations.second_timestamp IS
    'When the second statement says that the price was observed';
COMMENT ON COLUMN public.eth_price_equivocations.second_price IS
    'The price of the second statement';
COMMENT ON COLUMN public.eth_price_equivocations.second_evidence IS
    'The quotes behind the second price, likewise';
COMMENT ON COLUMN public.eth_price_equivocations.second_signature IS
    'The signature of the observer over the second digest';
COMMENT ON COLUMN public.eth_price_equivocations.moment IS
    'Half a write_interval when it was found, at most 15 s: statements that follow the same record and are less than this apart contradict each other';
COMMENT ON COLUMN public.eth_price_equivocations.found_by IS
    'Ethereum address of the node that found it; its own word, and of no weight: the proof stands by itself';
COMMENT ON COLUMN public.eth_price_equivocations.found_at IS
    'When it was kept, by the clock of this database';
COMMENT ON FUNCTION public.quorate_verify_equivocation() IS
    'Trigger: both statements are the observer''s, follow the same record, and were made at one moment';
