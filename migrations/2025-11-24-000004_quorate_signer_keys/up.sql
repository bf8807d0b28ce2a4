-- The public keys of those who have signed records, with their multiples: with them a signature is verified in a quarter of
-- the time that recovering its signer takes. A cache of what the database has computed itself: it may be emptied.

CREATE TABLE public.quorate_signer_keys (
    address bytea PRIMARY KEY,
    key bytea NOT NULL,
    xs numeric[] NOT NULL,
    ys numeric[] NOT NULL,

    CONSTRAINT quorate_signer_keys_address_is_the_keys CHECK (address = public.quorate_address(key)),
    CONSTRAINT quorate_signer_keys_has_all_multiples CHECK (cardinality(xs) = 255 AND cardinality(ys) = 255)
);
-- 24 kB of digits that look random: not worth a try.
ALTER TABLE public.quorate_signer_keys ALTER xs SET STORAGE EXTERNAL, ALTER ys SET STORAGE EXTERNAL;

-- Keeps the multiples of a key.
CREATE FUNCTION public.quorate_keep_key(key bytea) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO public.quorate_signer_keys (address, key, xs, ys)
    SELECT public.quorate_address(key), key, multiples.xs, multiples.ys
    FROM public.quorate_multiples(key) AS multiples
    ON CONFLICT DO NOTHING
$$;

-- The group's generator, which has a part in every signature. As a public key it is that of the private key 1.
SELECT public.quorate_keep_key(decode('79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
    '483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8', 'hex'));

-- Whether this signature over this digest is the signer's. With the key Q it is, if the x of (digest * G + r * Q) / s is r.
CREATE FUNCTION public.quorate_is_signed(digest bytea, signature bytea, signer bytea) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n CONSTANT numeric := 115792089237316195423570985008687907852837564279074904382605163141518161494337;
    generator CONSTANT bytea := decode('7e5f4552091a69125d5dfcb7b8c2659029395bdf', 'hex');
    said record;
    g record;
    q record;
    inverse numeric;
    point record;
BEGIN
    SELECT xs, ys INTO g FROM public.quorate_signer_keys WHERE address = generator;
    IF FOUND THEN
        SELECT xs, ys INTO q FROM public.quorate_signer_keys WHERE address = signer;
    END IF;
    IF NOT FOUND THEN
        RETURN coalesce(public.quorate_recover(digest, signature) = signer, false);
    END IF;
    said := public.quorate_read_signature(signature);
    IF octet_length(digest) <> 32 OR said.r IS NULL THEN
        RETURN false;
    END IF;
    inverse := public.quorate_inverse(said.s, n);
    point := public.quorate_sum(
        public.quorate_word(public.quorate_number(digest) * inverse % n), g.xs, g.ys,
        public.quorate_word(said.r * inverse % n), q.xs, q.ys
    );
    RETURN coalesce(point.x % n = said.r AND point.y % 2 = said.odd, false);
END
$$;

COMMENT ON TABLE public.quorate_signer_keys IS
    'Public keys of signers with their multiples, so that their next signatures cost less to verify; made by the database, may be emptied';
COMMENT ON COLUMN public.quorate_signer_keys.address IS
    'Ethereum address of the signer';
COMMENT ON COLUMN public.quorate_signer_keys.key IS
    'Its public key: x, then y';
COMMENT ON COLUMN public.quorate_signer_keys.xs IS
    'The x of the 255 multiples, as quorate_multiples makes them';
COMMENT ON COLUMN public.quorate_signer_keys.ys IS
    'The y of the 255 multiples';
COMMENT ON FUNCTION public.quorate_keep_key(bytea) IS
    'For the owner: keeps the multiples of a public key';
COMMENT ON FUNCTION public.quorate_is_signed(bytea, bytea, bytea) IS
    'Whether a signature over a digest is this signer''s';
