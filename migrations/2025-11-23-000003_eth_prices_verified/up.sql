-- The database judges records itself: whoever holds the nodes' password cannot store a forged one.
--
-- Digest and signatures are checked at the end of the statement that inserts them, by triggers that no session can
-- defer or bring forward (SET CONSTRAINTS). A rival that loses (same digest, same window) has been refused before that,
-- and pays nothing. Measured on one core: 1 ms for the digest and 5 ms for each signature.

CREATE FUNCTION public.quorate_refuse(relation text, rule text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%', reason
        USING ERRCODE = 'check_violation', SCHEMA = 'public', TABLE = relation, CONSTRAINT = rule;
END
$$;
REVOKE ALL ON FUNCTION public.quorate_refuse(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.quorate_refuse(text, text, text) TO quorate_node;

-- Whether this address is, or was, a member so that its signature on something observed then counts now. Yes for
-- everybody if no members are listed.
CREATE FUNCTION public.quorate_is_member(who text, observed_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_at timestamptz;
BEGIN
    SELECT coalesce(removed_at, 'infinity') INTO left_at
        FROM public.quorate_members WHERE lower(address) = lower(who);
    IF NOT FOUND THEN
        RETURN NOT EXISTS (SELECT FROM public.quorate_members);
    END IF;
    -- Reports in flight at the removal still pass.
    RETURN left_at = 'infinity' OR (
        observed_at < left_at
        AND clock_timestamp() < left_at + (SELECT write_interval FROM public.quorate_settings)
    );
END
$$;
REVOKE ALL ON FUNCTION public.quorate_is_member(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.quorate_is_member(text, timestamptz) TO quorate_node;
COMMENT ON FUNCTION public.quorate_is_member(text, timestamptz) IS
    'Whether a signature of this address on something observed at this time counts now';

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
REVOKE ALL ON FUNCTION public.quorate_verify_record() FROM PUBLIC;

CREATE TRIGGER quorate_verify_record AFTER INSERT ON public.eth_prices
    FOR EACH ROW EXECUTE FUNCTION public.quorate_verify_record();

CREATE FUNCTION public.quorate_verify_signature() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recovered text;
    observed_at timestamptz;
BEGIN
    SELECT "timestamp" INTO STRICT observed_at FROM public.eth_prices WHERE digest = NEW.digest;
    IF public.quorate_is_member(NEW.signer, observed_at) IS NOT TRUE THEN
        PERFORM public.quorate_refuse('eth_price_signatures', 'eth_price_signatures_by_members', format(
            '%s is not among the members of this database (table quorate_members)', NEW.signer
        ));
    END IF;
    recovered := public.quorate_recover(NEW.digest, NEW.signature);
    IF recovered IS DISTINCT FROM lower(NEW.signer) THEN
        PERFORM public.quorate_refuse('eth_price_signatures', 'eth_price_signatures_recovers', format(
            'the signature of %s recovers to %s', NEW.signer, coalesce(recovered, 'nobody')
        ));
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.quorate_verify_signature() FROM PUBLIC;

CREATE TRIGGER quorate_verify_signature AFTER INSERT ON public.eth_price_signatures
    FOR EACH ROW EXECUTE FUNCTION public.quorate_verify_signature();

-- At commit, when all signatures of the transaction are in.
CREATE OR REPLACE FUNCTION public.quorate_require_signatures() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    required integer;
    required_validators integer;
    signers bigint;
    validators bigint;
    observer_signed boolean;
BEGIN
    SELECT min_signatures, min_validators INTO STRICT required, required_validators FROM public.quorate_settings;
    SELECT
        count(DISTINCT lower(signer)),
        count(DISTINCT lower(signer)) FILTER (WHERE validator),
        coalesce(bool_or(lower(signer) = lower(NEW.observer)), false)
        INTO STRICT signers, validators, observer_signed
        FROM public.eth_price_signatures WHERE digest = NEW.digest;
    IF signers < required THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_min_signatures', format(
            'the record has %s distinct signatures, %s are required', signers, required
        ));
    END IF;
    IF NOT observer_signed THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_observer_signed',
            'the observer is not among the signers of the record');
    END IF;
    IF validators < required_validators
        AND EXISTS (SELECT FROM public.quorate_members WHERE validator AND removed_at IS NULL)
    THEN
        PERFORM public.quorate_refuse('eth_prices', 'eth_prices_min_validators', format(
            'the record has signatures of %s validators, %s are required', validators, required_validators
        ));
    END IF;
    RETURN NULL;
END
$$;
