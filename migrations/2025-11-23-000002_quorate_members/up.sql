-- Who the members are, if the owner says so, and which of them are validators.

CREATE TABLE public.quorate_members (
    address text PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    validator boolean NOT NULL DEFAULT false,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at timestamptz,

    CONSTRAINT quorate_members_address_is_an_address CHECK (address ~ '^0x[0-9a-fA-F]{40}$'),
    CONSTRAINT quorate_members_name_is_short CHECK (char_length(name) <= 64 AND name !~ '[[:cntrl:]]')
);

-- The same address in another letter case is the same member.
CREATE UNIQUE INDEX quorate_members_once_an_address ON public.quorate_members (lower(address));

ALTER TABLE public.quorate_settings
    ADD COLUMN min_validators integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT quorate_settings_min_validators_in_range CHECK (min_validators BETWEEN 0 AND 128);

ALTER TABLE public.eth_price_signatures
    ADD COLUMN validator boolean NOT NULL DEFAULT false;

-- Only with its record, and with the owner's word on who is a validator, if there is one.
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
    IF EXISTS (SELECT FROM public.quorate_members) THEN
        NEW.validator := EXISTS (
            SELECT FROM public.quorate_members AS member
            WHERE lower(member.address) = lower(NEW.signer) AND member.validator
        );
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE VIEW public.eth_prices_signed AS
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

GRANT SELECT ON public.quorate_members TO quorate_node;
GRANT INSERT (validator) ON public.eth_price_signatures TO quorate_node;

COMMENT ON TABLE public.quorate_members IS
    'Who the members are: with any row here, a record with the signature of anybody else is refused. Empty: an open '
    'network. Change it with: quorate migrate --members FILE, or --members none';
COMMENT ON COLUMN public.quorate_members.address IS
    'Ethereum address of the node';
COMMENT ON COLUMN public.quorate_members.name IS
    'What people call it';
COMMENT ON COLUMN public.quorate_members.validator IS
    'Whether its signature counts towards min_validators';
COMMENT ON COLUMN public.quorate_members.added_at IS
    'Since when it is listed';
COMMENT ON COLUMN public.quorate_members.removed_at IS
    'Since when it is no member any more; what was observed before is still taken for one write_interval, then nothing';
COMMENT ON COLUMN public.quorate_settings.min_validators IS
    'If quorate_members lists validators: a record with fewer of their signatures is refused at commit';
COMMENT ON COLUMN public.eth_price_signatures.validator IS
    'Whether the signer is a validator: as quorate_members has it; if that is empty, by the word of the writer';
COMMENT ON COLUMN public.eth_prices_signed.validators IS
    'Which of the signers are validators';
