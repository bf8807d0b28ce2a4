-- A column cannot be taken out of a view.
DROP VIEW public.eth_prices_signed;
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
        record.network
    FROM public.eth_prices AS record
    CROSS JOIN LATERAL (
        SELECT count(*) AS signature_count, jsonb_object_agg(one.signer, one.signature) AS signatures
        FROM public.eth_price_signatures AS one
        WHERE one.digest = record.digest
    ) AS signed
    ORDER BY record."timestamp" DESC;
COMMENT ON VIEW public.eth_prices_signed IS
    'The records with their signatures, newest first';
COMMENT ON COLUMN public.eth_prices_signed.signature_count IS
    'How many nodes have signed';
COMMENT ON COLUMN public.eth_prices_signed.signatures IS
    'Signature by signer';
GRANT SELECT ON public.eth_prices_signed TO quorate_node;

CREATE OR REPLACE FUNCTION public.quorate_only_with_record() RETURNS trigger
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
    RETURN NEW;
END
$$;

ALTER TABLE public.eth_price_signatures DROP COLUMN validator;
ALTER TABLE public.quorate_settings DROP COLUMN min_validators;
DROP TABLE public.quorate_members;
