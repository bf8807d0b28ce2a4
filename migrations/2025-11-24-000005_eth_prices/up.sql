-- The records: one row each, linked to the one before. Needs PostgreSQL 13 or later: btree_gist as an extension that an
-- owner may create.

CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;

CREATE TABLE public.eth_prices (
    sequence bigint NOT NULL,
    "timestamp" timestamptz(3) NOT NULL,
    written_at timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    feed text NOT NULL,
    price numeric NOT NULL,
    observer bytea NOT NULL,
    written_by bytea NOT NULL,
    previous bytea NOT NULL,
    digest bytea NOT NULL,
    network text NOT NULL,
    evidence text NOT NULL,
    signers bytea[] NOT NULL,
    signatures bytea[] NOT NULL,
    validators boolean[] NOT NULL,

    -- A number stands once, so that the records of a feed are one line. Finds the last one too.
    CONSTRAINT eth_prices_once_a_number PRIMARY KEY (feed, sequence),
    -- No two windows of a feed overlap, so no two records are less than one window apart, under any concurrency.
    CONSTRAINT eth_prices_one_a_window EXCLUDE USING gist (feed WITH =, tstzrange(written_at, next_at) WITH &&),

    CONSTRAINT eth_prices_window_is_not_empty CHECK (next_at > written_at),
    CONSTRAINT eth_prices_first_follows_nothing CHECK (
        sequence >= 1 AND (sequence = 1) = (previous = decode(repeat('00', 32), 'hex'))
    ),
    CONSTRAINT eth_prices_timestamp_in_range CHECK (
        "timestamp" >= '1970-01-01 00:00:00+00' AND "timestamp" < '10000-01-01 00:00:00+00'
    ),
    CONSTRAINT eth_prices_feed_is_a_pair CHECK (feed ~ '^[A-Z0-9]{2,10}/[A-Z0-9]{2,10}$'),
    -- NaN and Infinity are above every number, so the upper bound refuses them too.
    CONSTRAINT eth_prices_price_in_range CHECK (price > 0 AND price <= 1000000000000000000 AND scale(price) <= 18),
    CONSTRAINT eth_prices_price_is_median_of_evidence CHECK (public.quorate_is_median_of(price, evidence)),
    CONSTRAINT eth_prices_addresses_are_20_bytes CHECK (octet_length(observer) = 20 AND octet_length(written_by) = 20),
    CONSTRAINT eth_prices_digests_are_32_bytes CHECK (octet_length(digest) = 32 AND octet_length(previous) = 32),
    CONSTRAINT eth_prices_network_is_a_name CHECK (network ~ '^[a-z0-9-]{1,32}$')
);

-- ORDER BY timestamp DESC, as people and the API ask. Read backwards: in this order it grows at its end and stays half as large.
CREATE INDEX eth_prices_newest ON public.eth_prices ("timestamp");
-- One record by its digest. Four bytes of hash instead of the whole digest: a digest is unique by what it is made of.
CREATE INDEX eth_prices_by_digest ON public.eth_prices USING hash (digest);

-- At the other levels a transaction that was begun long ago would see the records, settings and members of that time.
CREATE FUNCTION public.quorate_require_read_committed(relation text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM public.quorate_refuse(relation, relation || '_isolation_is_read_committed', format(
            'rows are written at isolation level read committed, not %s', current_setting('transaction_isolation')
        ));
    END IF;
END
$$;

-- The first of the two triggers that judge a record, in the order of their names: whether it follows the last one of its
-- feed, at the right time. Sets what no client may choose: when it was written, and when the next one may be.
--
-- Who comes second, or too soon, inserts nothing, has cost next to nothing, and is no error in the server's log.
CREATE FUNCTION public.quorate_follow_last_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width interval;
    last record;
    oldest interval;
BEGIN
    PERFORM public.quorate_require_read_committed('eth_prices');
    -- One writer of a feed at a time: the next one looks when this one's transaction has ended.
    PERFORM pg_advisory_xact_lock(hashtext('quorate write window'), hashtext(NEW.feed));
    SELECT write_interval INTO STRICT width FROM public.quorate_settings;
    NEW.written_at := clock_timestamp();
    NEW.next_at := NEW.written_at + width;

    SELECT sequence, digest, written_at, next_at INTO last
        FROM public.eth_prices WHERE feed = NEW.feed ORDER BY sequence DESC LIMIT 1;
    IF NEW.sequence <= last.sequence
        OR (NEW.written_at < last.next_at AND NEW.next_at > last.written_at)
    THEN
        RETURN NULL;
    END IF;
    IF NEW.sequence IS DISTINCT FROM coalesce(last.sequence, 0) + 1
        OR NEW.previous IS DISTINCT FROM coalesce(last.digest, decode(repeat('00', 32), 'hex'))
    THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_follows_the_last', format(
            'the record has the number %s and follows 0x%s; the last one of %s is number %s, 0x%s',
            NEW.sequence, encode(NEW.previous, 'hex'), NEW.feed, coalesce(last.sequence, 0),
            coalesce(encode(last.digest, 'hex'), repeat('0', 64))
        ));
    END IF;

    -- A certificate that somebody has kept back is news no more.
    oldest := greatest(width * 10, interval '10 minutes');
    IF (NEW."timestamp" BETWEEN NEW.written_at - oldest AND NEW.written_at + interval '1 minute') IS NOT TRUE THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_timestamp_is_recent', format(
            'the observation is dated %s, by the clock of this database it is %s: more than %s old or 00:01:00 ahead',
            NEW."timestamp", NEW.written_at, oldest
        ));
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER quorate_follow_last_record BEFORE INSERT ON public.eth_prices
    FOR EACH ROW EXECUTE FUNCTION public.quorate_follow_last_record();

-- Whether contents, digest and signatures belong together, and those who signed are members and enough. Of records, and of
-- those that were lost (eth_prices_lost). From cheap to dear.
CREATE FUNCTION public.quorate_judge_certificate() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settings record;
    required_validators integer := 0;
    count CONSTANT integer := coalesce(cardinality(NEW.signers), 0);
    stranger bytea;
    computed bytea;
BEGIN
    SELECT min_signatures, min_validators, network INTO STRICT settings FROM public.quorate_settings;
    IF NEW.network <> settings.network THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_network_is_the_databases', format(
            'the record is of network %s, this database holds the records of network %s', NEW.network, settings.network
        ));
    END IF;

    -- In ascending order nobody stands twice.
    IF count > 128 OR (count > 0 AND (
        array_ndims(NEW.signers) = 1 AND array_lower(NEW.signers, 1) = 1
        AND array_ndims(NEW.signatures) = 1 AND array_lower(NEW.signatures, 1) = 1
        AND cardinality(NEW.signatures) = count
        AND NEW.signers = ARRAY(SELECT DISTINCT one FROM unnest(NEW.signers) AS one ORDER BY one)
    ) IS NOT TRUE) THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_signers_once_in_order',
            'signers and signatures are not two lists of one length, at most 128, signers ascending, nobody twice');
    END IF;
    IF EXISTS (SELECT FROM public.quorate_members) THEN
        SELECT one INTO stranger FROM unnest(NEW.signers) AS one
            WHERE public.quorate_is_member(one, NEW."timestamp") IS NOT TRUE LIMIT 1;
        IF FOUND THEN
            PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_signed_by_members', format(
                '0x%s is not among the members of this database (table quorate_members)', encode(stranger, 'hex')
            ));
        END IF;
        -- The owner's word on who is a validator, and not the writer's.
        NEW.validators := ARRAY(
            SELECT EXISTS (
                SELECT FROM public.quorate_members
                WHERE lower(address) = '0x' || encode(one, 'hex') AND validator
            )
            FROM unnest(NEW.signers) WITH ORDINALITY AS signer (one, place) ORDER BY place
        );
        IF EXISTS (SELECT FROM public.quorate_members WHERE validator AND removed_at IS NULL) THEN
            required_validators := settings.min_validators;
        END IF;
    END IF;
    IF count < settings.min_signatures THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_min_signatures', format(
            'the record has %s distinct signatures, %s are required', count, settings.min_signatures
        ));
    END IF;
    IF (NEW.observer = ANY (NEW.signers)) IS NOT TRUE THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_observer_signed',
            'the observer is not among the signers of the record');
    END IF;
    IF (array_ndims(NEW.validators) = 1 AND array_lower(NEW.validators, 1) = 1
        AND cardinality(NEW.validators) = count AND array_position(NEW.validators, NULL) IS NULL) IS NOT TRUE
    THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_validators_of_signers',
            'validators is not a list of true and false, one for each signer');
    END IF;
    IF cardinality(array_positions(NEW.validators, true)) < required_validators THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_min_validators', format(
            'the record has signatures of %s validators, %s are required',
            cardinality(array_positions(NEW.validators, true)), required_validators
        ));
    END IF;

    computed := public.quorate_digest(
        NEW.network, NEW.feed, NEW.sequence, NEW.previous, NEW.price, NEW."timestamp", NEW.observer, NEW.evidence
    );
    IF computed IS DISTINCT FROM NEW.digest THEN
        PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_digest_matches', format(
            'the digest is 0x%s, the contents of the record hash to 0x%s',
            encode(NEW.digest, 'hex'), encode(computed, 'hex')
        ));
    END IF;
    FOR place IN 1 .. count LOOP
        IF public.quorate_is_signed(NEW.digest, NEW.signatures[place], NEW.signers[place]) IS NOT TRUE THEN
            PERFORM public.quorate_refuse(TG_TABLE_NAME, TG_TABLE_NAME || '_signatures_are_the_signers', format(
                'signature %s is not by its signer 0x%s', place, encode(NEW.signers[place], 'hex')
            ));
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

CREATE TRIGGER quorate_judge_certificate BEFORE INSERT ON public.eth_prices
    FOR EACH ROW EXECUTE FUNCTION public.quorate_judge_certificate();

-- What a record that was let in leaves behind: its network becomes the database's, if it is the first one, and the public key
-- of one of its signers is kept. With the rights of the owner, who alone may change those tables.
CREATE FUNCTION public.quorate_remember_record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- 7 MB. Whoever finds no room costs as much each time as at first.
    most_keys CONSTANT integer := 256;
    new_one integer;
    network_here text;
BEGIN
    SELECT network INTO STRICT network_here FROM public.quorate_settings;
    IF network_here IS NULL THEN
        UPDATE public.quorate_settings SET network = NEW.network WHERE network IS NULL;
        SELECT network INTO STRICT network_here FROM public.quorate_settings;
    END IF;
    -- Of two first records at the same time the second one has waited for the first.
    IF NEW.network <> network_here THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_network_is_the_databases', format(
            'the record is of network %s, this database holds the records of network %s', NEW.network, network_here
        ));
    END IF;

    -- One a record, for it takes a while; and whoever finds another session at it leaves it for the next time.
    SELECT place INTO new_one
        FROM unnest(NEW.signers) WITH ORDINALITY AS signer (one, place)
        WHERE NOT EXISTS (SELECT FROM public.quorate_signer_keys WHERE address = one) LIMIT 1;
    IF FOUND
        AND (SELECT count(*) FROM public.quorate_signer_keys) < most_keys
        AND pg_try_advisory_xact_lock(hashtext('quorate signer keys'), 0)
    THEN
        PERFORM public.quorate_keep_key(public.quorate_recover_key(NEW.digest, NEW.signatures[new_one]));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER quorate_remember_record AFTER INSERT ON public.eth_prices
    FOR EACH ROW EXECUTE FUNCTION public.quorate_remember_record();

COMMENT ON TABLE public.eth_prices IS
    'One row a record: a price that a quorum of nodes has signed, with all that verifies it. '
    'For people: SELECT * FROM eth_prices_readable; with everything as 0x text: eth_prices_hex';
COMMENT ON COLUMN public.eth_prices.sequence IS
    'The number of the record among those of its feed, from 1, without gaps; part of what is signed';
COMMENT ON COLUMN public.eth_prices."timestamp" IS
    'When the price was observed, by the clock of the observer; milliseconds, as signed';
COMMENT ON COLUMN public.eth_prices.written_at IS
    'When the record was written, by the clock of this database; no client can choose it';
COMMENT ON COLUMN public.eth_prices.next_at IS
    'The earliest time of the next record of the feed: written_at and the write_interval of then';
COMMENT ON COLUMN public.eth_prices.feed IS
    'What is priced: units of the second currency for one of the first';
COMMENT ON COLUMN public.eth_prices.price IS
    'The median of the quotes in evidence';
COMMENT ON COLUMN public.eth_prices.observer IS
    'Ethereum address of the node that states the price; always among the signers';
COMMENT ON COLUMN public.eth_prices.written_by IS
    'Ethereum address of the node that wrote the record; its own word, not signed';
COMMENT ON COLUMN public.eth_prices.previous IS
    'The digest of the record before it, zeros for the first; part of what is signed';
COMMENT ON COLUMN public.eth_prices.digest IS
    'EIP-712 hash of the observation: what every signer of the record has signed';
COMMENT ON COLUMN public.eth_prices.network IS
    'Name of the network that the signatures are for; part of the digest';
COMMENT ON COLUMN public.eth_prices.evidence IS
    'The quotes behind the price, a line each: source, price, time in Unix milliseconds; its hash is part of the digest';
COMMENT ON COLUMN public.eth_prices.signers IS
    'Ethereum addresses of the nodes that have signed, ascending';
COMMENT ON COLUMN public.eth_prices.signatures IS
    'Their signatures over the digest, in the same order: 65 bytes r, s, v; v is 27 or 28';
COMMENT ON COLUMN public.eth_prices.validators IS
    'Which of the signers are validators, in the same order: as quorate_members has it; if that is empty, by the word of the writer';
COMMENT ON FUNCTION public.quorate_follow_last_record() IS
    'Trigger: a record follows the last one of its feed, a window later; who comes too late or too soon inserts nothing';
COMMENT ON FUNCTION public.quorate_judge_certificate() IS
    'Trigger: contents, digest and signatures belong together, and the signers are members and enough';
COMMENT ON FUNCTION public.quorate_remember_record() IS
    'Trigger: fixes the network by the first record, and keeps public keys of signers';
COMMENT ON FUNCTION public.quorate_require_read_committed(text) IS
    'Refuses other isolation levels';
