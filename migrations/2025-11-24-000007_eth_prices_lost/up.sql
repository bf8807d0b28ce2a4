-- Records that a failover of this database has lost, and that could not be written again: a node that still had one keeps it
-- here, as evidence that the history was forked. Verified like a record, but for its place in the history and its spacing.

CREATE TABLE public.eth_prices_lost (
    sequence bigint NOT NULL,
    "timestamp" timestamptz(3) NOT NULL,
    found_at timestamptz NOT NULL,
    feed text NOT NULL,
    price numeric NOT NULL,
    observer bytea NOT NULL,
    found_by bytea NOT NULL,
    previous bytea NOT NULL,
    digest bytea NOT NULL,
    network text NOT NULL,
    evidence text NOT NULL,
    signers bytea[] NOT NULL,
    signatures bytea[] NOT NULL,
    validators boolean[] NOT NULL,

    CONSTRAINT eth_prices_lost_once PRIMARY KEY (digest),
    CONSTRAINT eth_prices_lost_first_follows_nothing CHECK (
        sequence >= 1 AND (sequence = 1) = (previous = decode(repeat('00', 32), 'hex'))
    ),
    CONSTRAINT eth_prices_lost_timestamp_in_range CHECK (
        "timestamp" >= '1970-01-01 00:00:00+00' AND "timestamp" < '10000-01-01 00:00:00+00'
    ),
    CONSTRAINT eth_prices_lost_feed_is_a_pair CHECK (feed ~ '^[A-Z0-9]{2,10}/[A-Z0-9]{2,10}$'),
    CONSTRAINT eth_prices_lost_price_in_range CHECK (
        price > 0 AND price <= 1000000000000000000 AND scale(price) <= 18
    ),
    CONSTRAINT eth_prices_lost_price_is_median_of_evidence CHECK (public.quorate_is_median_of(price, evidence)),
    CONSTRAINT eth_prices_lost_addresses_are_20_bytes CHECK (octet_length(observer) = 20 AND octet_length(found_by) = 20),
    CONSTRAINT eth_prices_lost_digests_are_32_bytes CHECK (octet_length(digest) = 32 AND octet_length(previous) = 32),
    CONSTRAINT eth_prices_lost_network_is_a_name CHECK (network ~ '^[a-z0-9-]{1,32}$')
);

-- The first of two triggers, in the order of their names; the other is the records' own quorate_judge_certificate.
CREATE FUNCTION public.quorate_check_lost_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A failover loses a record or two of a feed. Nobody can fill the disk: 1 MB a day at most.
    a_day CONSTANT integer := 500;
    rows_today bigint;
BEGIN
    PERFORM public.quorate_require_read_committed('eth_prices_lost');
    -- One at a time, so that the count holds.
    PERFORM pg_advisory_xact_lock(hashtext('quorate lost records'), 0);
    IF EXISTS (SELECT FROM public.eth_prices_lost WHERE digest = NEW.digest) THEN
        RETURN NULL;
    END IF;
    NEW.found_at := clock_timestamp();
    -- Nor is one lost that was archived: those are older than all that stand here.
    IF NEW.sequence < (SELECT min(sequence) FROM public.eth_prices WHERE feed = NEW.feed)
        OR EXISTS (
            SELECT FROM public.eth_prices
            WHERE feed = NEW.feed AND sequence = NEW.sequence AND digest = NEW.digest
        )
    THEN
        PERFORM public.quorate_refuse('eth_prices_lost', 'eth_prices_lost_is_lost', format(
            'record %s of %s is not lost: it stands in eth_prices, or is older than all that do', NEW.sequence, NEW.feed
        ));
    END IF;
    SELECT count(*) INTO STRICT rows_today
        FROM public.eth_prices_lost WHERE found_at > NEW.found_at - interval '24 hours';
    IF rows_today >= a_day THEN
        PERFORM public.quorate_refuse('eth_prices_lost', 'eth_prices_lost_a_day', format(
            'within 24 hours %s lost records were kept, more are not', rows_today
        ));
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER quorate_check_lost_record BEFORE INSERT ON public.eth_prices_lost
    FOR EACH ROW EXECUTE FUNCTION public.quorate_check_lost_record();
CREATE TRIGGER quorate_judge_certificate BEFORE INSERT ON public.eth_prices_lost
    FOR EACH ROW EXECUTE FUNCTION public.quorate_judge_certificate();

COMMENT ON TABLE public.eth_prices_lost IS
    'Records that a failover has lost for good: signed by a quorum, but not what the next record follows';
COMMENT ON COLUMN public.eth_prices_lost.sequence IS
    'The number of the record in the history that was lost; another record may have it now';
COMMENT ON COLUMN public.eth_prices_lost."timestamp" IS
    'When the price was observed, by the clock of the observer';
COMMENT ON COLUMN public.eth_prices_lost.found_at IS
    'When it was kept, by the clock of this database';
COMMENT ON COLUMN public.eth_prices_lost.feed IS
    'What is priced';
COMMENT ON COLUMN public.eth_prices_lost.price IS
    'The median of the quotes in evidence';
COMMENT ON COLUMN public.eth_prices_lost.observer IS
    'Ethereum address of the node that states the price';
COMMENT ON COLUMN public.eth_prices_lost.found_by IS
    'Ethereum address of the node that still had it; its own word, not signed';
COMMENT ON COLUMN public.eth_prices_lost.previous IS
    'The digest of the record that it followed';
COMMENT ON COLUMN public.eth_prices_lost.digest IS
    'EIP-712 hash of the observation: what every signer has signed';
COMMENT ON COLUMN public.eth_prices_lost.network IS
    'Name of the network that the signatures are for';
COMMENT ON COLUMN public.eth_prices_lost.evidence IS
    'The quotes behind the price, a line each: source, price, time in Unix milliseconds';
COMMENT ON COLUMN public.eth_prices_lost.signers IS
    'Ethereum addresses of the nodes that have signed, ascending';
COMMENT ON COLUMN public.eth_prices_lost.signatures IS
    'Their signatures over the digest, in the same order';
COMMENT ON COLUMN public.eth_prices_lost.validators IS
    'Which of the signers are validators, in the same order';
COMMENT ON FUNCTION public.quorate_check_lost_record() IS
    'Trigger: a lost record is one that does not stand in eth_prices, and few are kept a day';
