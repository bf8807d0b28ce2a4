-- The signatures: written together with their record or never, and never fewer than the minimum.

CREATE TABLE public.eth_price_signatures (
    digest text NOT NULL REFERENCES public.eth_prices (digest) ON DELETE CASCADE,
    signer text NOT NULL,
    signature text NOT NULL,
    validator boolean NOT NULL DEFAULT false,

    PRIMARY KEY (digest, signer),
    CONSTRAINT eth_price_signatures_signer_is_an_address CHECK (signer ~ '^0x[0-9a-fA-F]{40}$'),
    CONSTRAINT eth_price_signatures_signature_is_65_bytes CHECK (signature ~ '^0x[0-9a-f]{130}$')
);

-- The same signer in another letter case is the same signer.
CREATE UNIQUE INDEX eth_price_signatures_once_a_signer ON public.eth_price_signatures (digest, lower(signer));

-- Only with its record, and with the owner's word on who is a validator, if there is one.
CREATE FUNCTION public.quorate_only_with_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Both: after a restore into another server, an old record can carry the number of a transaction yet to come.
    IF NOT EXISTS (
        SELECT FROM public.eth_prices
        WHERE digest = NEW.digest
            AND written_in = pg_current_xact_id()
            AND written_at >= transaction_timestamp()
    ) THEN
        RAISE EXCEPTION 'a signature can only be written in the transaction that writes its record'
            USING ERRCODE = 'check_violation', SCHEMA = 'public', TABLE = 'eth_price_signatures',
                CONSTRAINT = 'eth_price_signatures_only_with_record';
    END IF;
    IF EXISTS (SELECT FROM public.quorate_members) THEN
        NEW.validator := EXISTS (
            SELECT FROM public.quorate_members AS member
            WHERE lower(member.address) = lower(NEW.signer) AND member.validator
        );
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER quorate_only_with_record BEFORE INSERT ON public.eth_price_signatures
    FOR EACH ROW EXECUTE FUNCTION public.quorate_only_with_record();

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

CREATE TRIGGER quorate_verify_signature AFTER INSERT ON public.eth_price_signatures
    FOR EACH ROW EXECUTE FUNCTION public.quorate_verify_signature();

CREATE FUNCTION public.quorate_require_signatures() RETURNS trigger
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

-- At commit, when all signatures of the transaction are in.
CREATE CONSTRAINT TRIGGER quorate_require_signatures AFTER INSERT ON public.eth_prices
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.quorate_require_signatures();

CREATE VIEW public.eth_prices_signed AS
    SELECT
        record.id,
        record."timestamp",
        record.feed,
        record.price,
        record.observer,
        record.written_at,
        record.written_by,
        signed.signature_count,
        record.digest,
        signed.signatures,
        record.evidence,
        record.network,
        signed.validators
    FROM public.eth_prices AS record
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS signature_count,
            jsonb_object_agg(one.signer, one.signature) AS signatures,
            coalesce(
                array_agg(one.signer ORDER BY one.signer COLLATE "C") FILTER (WHERE one.validator), ARRAY[]::text[]
            ) AS validators
        FROM public.eth_price_signatures AS one
        WHERE one.digest = record.digest
    ) AS signed
    ORDER BY record."timestamp" DESC;

COMMENT ON TABLE public.eth_price_signatures IS
    'One row a signature. Written in the transaction of its record, never later';
COMMENT ON COLUMN public.eth_price_signatures.digest IS
    'What was signed: the record with this digest';
COMMENT ON COLUMN public.eth_price_signatures.signer IS
    'Ethereum address of the signer; the signature recovers to it (quorate verify checks)';
COMMENT ON COLUMN public.eth_price_signatures.signature IS
    '65 bytes r, s, v in hex; v is 27 or 28';
COMMENT ON COLUMN public.eth_price_signatures.validator IS
    'Whether the signer is a validator: as quorate_members has it; if that is empty, by the word of the writer';
COMMENT ON VIEW public.eth_prices_signed IS
    'The records with their signatures, newest first';
COMMENT ON COLUMN public.eth_prices_signed.signature_count IS
    'How many nodes have signed';
COMMENT ON COLUMN public.eth_prices_signed.signatures IS
    'Signature by signer';
COMMENT ON COLUMN public.eth_prices_signed.validators IS
    'Which of the signers are validators';
