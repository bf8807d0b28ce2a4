-- The records as people read them: one line each for psql, and everything as text.

CREATE VIEW public.eth_prices_readable AS
    SELECT
        record.sequence,
        record."timestamp"::timestamptz(0) AS "time",
        record.feed,
        trim_scale(round(record.price, 6)) AS price,
        cardinality(record.signers) AS signed,
        coalesce(
            (
                SELECT left(nullif(member.name, ''), 10) FROM public.quorate_members AS member
                WHERE lower(member.address) = '0x' || encode(record.written_by, 'hex')
            ),
            '0x' || left(encode(record.written_by, 'hex'), 8)
        ) AS written_by,
        signed.by AS signed_by
    FROM public.eth_prices AS record
    CROSS JOIN LATERAL (
        -- As many names as there is room for, and the number of the others.
        SELECT string_agg(named.name, ' ' ORDER BY named.place) FILTER (WHERE named.fits)
            || coalesce(' +' || nullif(count(*) FILTER (WHERE NOT named.fits), 0), '') AS by
        FROM (
            SELECT one.name, one.place,
                sum(length(one.name) + 1) OVER (ORDER BY one.place) <= 29
                    OR sum(length(one.name) + 1) OVER () <= 33 AS fits
            FROM (
                SELECT coalesce(left(nullif(member.name, ''), 10), '0x' || left(encode(signer.address, 'hex'), 8)) AS name,
                    signer.place
                FROM unnest(record.signers) WITH ORDINALITY AS signer (address, place)
                LEFT JOIN public.quorate_members AS member
                    ON lower(member.address) = '0x' || encode(signer.address, 'hex')
            ) AS one
        ) AS named
    ) AS signed
    ORDER BY record."timestamp" DESC;

CREATE VIEW public.eth_prices_hex AS
    SELECT
        record.sequence,
        record."timestamp",
        record.feed,
        record.price,
        '0x' || encode(record.observer, 'hex') AS observer,
        record.written_at,
        '0x' || encode(record.written_by, 'hex') AS written_by,
        cardinality(record.signers) AS signature_count,
        '0x' || encode(record.previous, 'hex') AS previous,
        '0x' || encode(record.digest, 'hex') AS digest,
        record.network,
        (
            SELECT jsonb_agg(jsonb_build_object(
                'source', split_part(quote.line, ' ', 1),
                'price', split_part(quote.line, ' ', 2),
                'at', split_part(quote.line, ' ', 3)::numeric
            ) ORDER BY quote.place)
            FROM unnest(string_to_array(rtrim(record.evidence, chr(10)), chr(10))) WITH ORDINALITY AS quote (line, place)
        ) AS evidence,
        (
            SELECT jsonb_object_agg('0x' || encode(by.signer, 'hex'), '0x' || encode(by.signature, 'hex'))
            FROM unnest(record.signers, record.signatures) AS by (signer, signature)
        ) AS signatures,
        ARRAY(
            SELECT '0x' || encode(by.signer, 'hex')
            FROM unnest(record.signers, record.validators) AS by (signer, validator) WHERE by.validator
        ) AS validators
    FROM public.eth_prices AS record
    ORDER BY record."timestamp" DESC;

COMMENT ON VIEW public.eth_prices_readable IS
    'The records for people, newest first, a line each: names of members where quorate_members has them, else short addresses';
COMMENT ON COLUMN public.eth_prices_readable.sequence IS
    'The number of the record among those of its feed';
COMMENT ON COLUMN public.eth_prices_readable."time" IS
    'When the price was observed, to the second';
COMMENT ON COLUMN public.eth_prices_readable.feed IS
    'What is priced';
COMMENT ON COLUMN public.eth_prices_readable.price IS
    'The price, to six decimals; in full in eth_prices';
COMMENT ON COLUMN public.eth_prices_readable.signed IS
    'How many nodes have signed';
COMMENT ON COLUMN public.eth_prices_readable.written_by IS
    'Who wrote the record';
COMMENT ON COLUMN public.eth_prices_readable.signed_by IS
    'Who signed; +4: and four more';
COMMENT ON VIEW public.eth_prices_hex IS
    'The records with everything in them, newest first; addresses, digests and signatures as 0x text';
COMMENT ON COLUMN public.eth_prices_hex.sequence IS
    'The number of the record among those of its feed';
COMMENT ON COLUMN public.eth_prices_hex."timestamp" IS
    'When the price was observed';
COMMENT ON COLUMN public.eth_prices_hex.feed IS
    'What is priced';
COMMENT ON COLUMN public.eth_prices_hex.price IS
    'The price';
COMMENT ON COLUMN public.eth_prices_hex.observer IS
    'Who states it';
COMMENT ON COLUMN public.eth_prices_hex.written_at IS
    'When the record was written';
COMMENT ON COLUMN public.eth_prices_hex.written_by IS
    'Who wrote it';
COMMENT ON COLUMN public.eth_prices_hex.signature_count IS
    'How many nodes have signed';
COMMENT ON COLUMN public.eth_prices_hex.previous IS
    'The digest of the record before it';
COMMENT ON COLUMN public.eth_prices_hex.digest IS
    'What was signed';
COMMENT ON COLUMN public.eth_prices_hex.network IS
    'The network that the signatures are for';
COMMENT ON COLUMN public.eth_prices_hex.evidence IS
    'The quotes behind the price: source, price, and at in Unix milliseconds';
COMMENT ON COLUMN public.eth_prices_hex.signatures IS
    'Signature by signer';
COMMENT ON COLUMN public.eth_prices_hex.validators IS
    'Which of the signers are validators';
