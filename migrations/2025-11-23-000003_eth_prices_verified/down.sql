DROP TRIGGER quorate_verify_signature ON public.eth_price_signatures;
DROP TRIGGER quorate_verify_record ON public.eth_prices;

CREATE OR REPLACE FUNCTION public.quorate_require_signatures() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    required integer;
    signers bigint;
    observer_signed boolean;
BEGIN
    SELECT min_signatures INTO STRICT required FROM public.quorate_settings;
    SELECT count(DISTINCT lower(signer)), coalesce(bool_or(lower(signer) = lower(NEW.observer)), false)
        INTO STRICT signers, observer_signed
        FROM public.eth_price_signatures WHERE digest = NEW.digest;
    IF signers < required THEN
        RAISE EXCEPTION 'the record has % distinct signatures, % are required', signers, required
            USING ERRCODE = 'check_violation', SCHEMA = 'public', TABLE = 'eth_prices',
                CONSTRAINT = 'eth_prices_min_signatures';
    END IF;
    IF NOT observer_signed THEN
        RAISE EXCEPTION 'the observer is not among the signers of the record'
            USING ERRCODE = 'check_violation', SCHEMA = 'public', TABLE = 'eth_prices',
                CONSTRAINT = 'eth_prices_observer_signed';
    END IF;
    RETURN NULL;
END
$$;

DROP FUNCTION public.quorate_verify_signature();
DROP FUNCTION public.quorate_verify_record();
DROP FUNCTION public.quorate_is_member(text, timestamptz);
DROP FUNCTION public.quorate_refuse(text, text, text);
