-- Keccak-256 as Ethereum has it, EIP-712 digests and secp256k1 signatures, so that the database can tell a forged
-- record from a genuine one by itself. Plain SQL: no extension has to be trusted or installed.
--
-- No literal here has a backslash: what one means is up to the session (standard_conforming_strings).

-- Keccak-256 with the padding of before SHA-3. The state is 25 lanes of 64 bits, a0 to a24, lane x + 5y.
CREATE FUNCTION public.quorate_keccak256(message bytea) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    block_bytes CONSTANT integer := 136;
    round_constants CONSTANT bigint[] := ARRAY[
        1, 32898, -9223372036854742902, -9223372034707259392, 32907, 2147483649, -9223372034707259263,
        -9223372036854743031, 138, 136, 2147516425, 2147483658, 2147516555, -9223372036854775669,
        -9223372036854742903, -9223372036854743037, -9223372036854743038, -9223372036854775680, 32778,
        -9223372034707292150, -9223372034707259263, -9223372036854742912, 2147483649, -9223372034707259384
    ];
    -- Nibbles are read in the reverse order: lanes are little-endian, and reverse() turns hex digits, not bytes.
    high_nibbles CONSTANT bigint := -1085102592571150096;
    low_nibbles CONSTANT bigint := 1085102592571150095;
    padding integer := block_bytes - octet_length(message) % block_bytes;
    padded bytea;
    backwards text;
    lane bigint;
    result text := '';
    a0 bigint := 0; a1 bigint := 0; a2 bigint := 0; a3 bigint := 0; a4 bigint := 0;
    a5 bigint := 0; a6 bigint := 0; a7 bigint := 0; a8 bigint := 0; a9 bigint := 0;
    a10 bigint := 0; a11 bigint := 0; a12 bigint := 0; a13 bigint := 0; a14 bigint := 0;
    a15 bigint := 0; a16 bigint := 0; a17 bigint := 0; a18 bigint := 0; a19 bigint := 0;
    a20 bigint := 0; a21 bigint := 0; a22 bigint := 0; a23 bigint := 0; a24 bigint := 0;
    b0 bigint; b1 bigint; b2 bigint; b3 bigint; b4 bigint;
    b5 bigint; b6 bigint; b7 bigint; b8 bigint; b9 bigint;
    b10 bigint; b11 bigint; b12 bigint; b13 bigint; b14 bigint;
    b15 bigint; b16 bigint; b17 bigint; b18 bigint; b19 bigint;
    b20 bigint; b21 bigint; b22 bigint; b23 bigint; b24 bigint;
    c0 bigint; c1 bigint; c2 bigint; c3 bigint; c4 bigint;
    d0 bigint; d1 bigint; d2 bigint; d3 bigint; d4 bigint;
BEGIN
    padded := message || CASE padding
        WHEN 1 THEN decode('81', 'hex')
        ELSE decode('01' || repeat('00', padding - 2) || '80', 'hex')
    END;
    FOR block IN 0 .. octet_length(padded) / block_bytes - 1 LOOP
        backwards := reverse(encode(substr(padded, block * block_bytes + 1, block_bytes), 'hex'));
        lane := ('x' || substr(backwards, 257, 16))::bit(64)::bigint;
        a0 := a0 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 241, 16))::bit(64)::bigint;
        a1 := a1 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 225, 16))::bit(64)::bigint;
        a2 := a2 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 209, 16))::bit(64)::bigint;
        a3 := a3 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 193, 16))::bit(64)::bigint;
        a4 := a4 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 177, 16))::bit(64)::bigint;
        a5 := a5 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 161, 16))::bit(64)::bigint;
        a6 := a6 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 145, 16))::bit(64)::bigint;
        a7 := a7 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 129, 16))::bit(64)::bigint;
        a8 := a8 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 113, 16))::bit(64)::bigint;
        a9 := a9 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 97, 16))::bit(64)::bigint;
        a10 := a10 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 81, 16))::bit(64)::bigint;
        a11 := a11 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 65, 16))::bit(64)::bigint;
        a12 := a12 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 49, 16))::bit(64)::bigint;
        a13 := a13 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 33, 16))::bit(64)::bigint;
        a14 := a14 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 17, 16))::bit(64)::bigint;
        a15 := a15 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        lane := ('x' || substr(backwards, 1, 16))::bit(64)::bigint;
        a16 := a16 # (((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles));
        FOR round IN 1 .. 24 LOOP
            -- Theta: every bit takes in the parities of two columns.
            c0 := a0 # a5 # a10 # a15 # a20;
            c1 := a1 # a6 # a11 # a16 # a21;
            c2 := a2 # a7 # a12 # a17 # a22;
            c3 := a3 # a8 # a13 # a18 # a23;
            c4 := a4 # a9 # a14 # a19 # a24;
            d0 := c4 # (((c1) << 1) | (((c1) >> 63) & 1));
            d1 := c0 # (((c2) << 1) | (((c2) >> 63) & 1));
            d2 := c1 # (((c3) << 1) | (((c3) >> 63) & 1));
            d3 := c2 # (((c4) << 1) | (((c4) >> 63) & 1));
            d4 := c3 # (((c0) << 1) | (((c0) >> 63) & 1));
            -- Rho and pi: every lane is turned and moved.
            b0 := a0 # d0;
            b10 := ((a1 # d1) << 1) | (((a1 # d1) >> 63) & 1);
            b20 := ((a2 # d2) << 62) | (((a2 # d2) >> 2) & 4611686018427387903);
            b5 := ((a3 # d3) << 28) | (((a3 # d3) >> 36) & 268435455);
            b15 := ((a4 # d4) << 27) | (((a4 # d4) >> 37) & 134217727);
            b16 := ((a5 # d0) << 36) | (((a5 # d0) >> 28) & 68719476735);
            b1 := ((a6 # d1) << 44) | (((a6 # d1) >> 20) & 17592186044415);
            b11 := ((a7 # d2) << 6) | (((a7 # d2) >> 58) & 63);
            b21 := ((a8 # d3) << 55) | (((a8 # d3) >> 9) & 36028797018963967);
            b6 := ((a9 # d4) << 20) | (((a9 # d4) >> 44) & 1048575);
            b7 := ((a10 # d0) << 3) | (((a10 # d0) >> 61) & 7);
            b17 := ((a11 # d1) << 10) | (((a11 # d1) >> 54) & 1023);
            b2 := ((a12 # d2) << 43) | (((a12 # d2) >> 21) & 8796093022207);
            b12 := ((a13 # d3) << 25) | (((a13 # d3) >> 39) & 33554431);
            b22 := ((a14 # d4) << 39) | (((a14 # d4) >> 25) & 549755813887);
            b23 := ((a15 # d0) << 41) | (((a15 # d0) >> 23) & 2199023255551);
            b8 := ((a16 # d1) << 45) | (((a16 # d1) >> 19) & 35184372088831);
            b18 := ((a17 # d2) << 15) | (((a17 # d2) >> 49) & 32767);
            b3 := ((a18 # d3) << 21) | (((a18 # d3) >> 43) & 2097151);
            b13 := ((a19 # d4) << 8) | (((a19 # d4) >> 56) & 255);
            b14 := ((a20 # d0) << 18) | (((a20 # d0) >> 46) & 262143);
            b24 := ((a21 # d1) << 2) | (((a21 # d1) >> 62) & 3);
            b9 := ((a22 # d2) << 61) | (((a22 # d2) >> 3) & 2305843009213693951);
            b19 := ((a23 # d3) << 56) | (((a23 # d3) >> 8) & 72057594037927935);
            b4 := ((a24 # d4) << 14) | (((a24 # d4) >> 50) & 16383);
            -- Chi: the only step that is not linear; iota: what makes rounds differ.
            a0 := b0 # (~b1 & b2) # round_constants[round];
            a1 := b1 # (~b2 & b3);
            a2 := b2 # (~b3 & b4);
            a3 := b3 # (~b4 & b0);
            a4 := b4 # (~b0 & b1);
            a5 := b5 # (~b6 & b7);
            a6 := b6 # (~b7 & b8);
            a7 := b7 # (~b8 & b9);
            a8 := b8 # (~b9 & b5);
            a9 := b9 # (~b5 & b6);
            a10 := b10 # (~b11 & b12);
            a11 := b11 # (~b12 & b13);
            a12 := b12 # (~b13 & b14);
            a13 := b13 # (~b14 & b10);
            a14 := b14 # (~b10 & b11);
            a15 := b15 # (~b16 & b17);
            a16 := b16 # (~b17 & b18);
            a17 := b17 # (~b18 & b19);
            a18 := b18 # (~b19 & b15);
            a19 := b19 # (~b15 & b16);
            a20 := b20 # (~b21 & b22);
            a21 := b21 # (~b22 & b23);
            a22 := b22 # (~b23 & b24);
            a23 := b23 # (~b24 & b20);
            a24 := b24 # (~b20 & b21);
        END LOOP;
    END LOOP;
    FOREACH lane IN ARRAY ARRAY[a3, a2, a1, a0] LOOP
        lane := ((lane << 4) & high_nibbles) | ((lane >> 4) & low_nibbles);
        result := result || lpad(to_hex(lane), 16, '0');
    END LOOP;
    RETURN decode(reverse(result), 'hex');
END
$$;

-- A byte string as a number, the first byte the highest, and back.
CREATE FUNCTION public.quorate_number(bytes bytea) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digits text := lpad(encode(bytes, 'hex'), (octet_length(bytes) + 3) / 4 * 8, '0');
    number numeric := 0;
BEGIN
    FOR word IN 0 .. length(digits) / 8 - 1 LOOP
        number := number * 4294967296 + ('x' || substr(digits, word * 8 + 1, 8))::bit(32)::bigint;
    END LOOP;
    RETURN number;
END
$$;

-- As 32 bytes; the number is from 0 to 2^256 - 1.
CREATE FUNCTION public.quorate_word(number numeric) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_over numeric := number;
    digits text := '';
BEGIN
    FOR word IN 1 .. 8 LOOP
        digits := lpad(to_hex((left_over % 4294967296)::bigint), 8, '0') || digits;
        left_over := div(left_over, 4294967296);
    END LOOP;
    RETURN decode(digits, 'hex');
END
$$;

-- The number whose product with this one is 1 modulo a prime (Euclid), from 0 to modulus - 1; 0 for multiples of it.
CREATE FUNCTION public.quorate_inverse(number numeric, modulus numeric) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a numeric := modulus;
    b numeric := (number % modulus + modulus) % modulus;
    x numeric := 0;
    y numeric := 1;
    quotient numeric;
    t numeric;
BEGIN
    WHILE b <> 0 LOOP
        quotient := div(a, b);
        t := a - quotient * b; a := b; b := t;
        t := x - quotient * y; x := y; y := t;
    END LOOP;
    RETURN (x + modulus) % modulus;
END
$$;

-- secp256k1: the points of y^2 = x^3 + 7 modulo p, a group of n points, made by the point G. (SEC 2, version 2, section
-- 2.4.1.) A public key is such a point, written as 64 bytes: x, then y.

-- The sum u * U + v * V, two factors of 32 bytes; NULL if it is infinity, the group's zero.
--
-- Of each point either the point itself is given, as arrays of one, or its 255 multiples by quorate_multiples. Bit by bit
-- (Straus): double the sum, then add the point where its factor has a one. With the multiples eight bits, 32 apart, are
-- done in one step (Lim and Lee): 32 steps instead of 256. The sum is kept as (x / z^2, y / z^3), so that nothing is
-- divided before the end. A product t is reduced by p * round(t / p), with 1 / p to 160 decimals: half the time of a
-- division. What is left lies between -p / 2 and p / 2 (or a little beyond), and is 0 exactly for multiples of p.
CREATE FUNCTION public.quorate_sum(
    u bytea, ux numeric[], uy numeric[], v bytea, vx numeric[], vy numeric[], OUT x numeric, OUT y numeric
)
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p CONSTANT numeric := 115792089237316195423570985008687907853269984665640564039457584007908834671663;
    i CONSTANT numeric := round(1e160 / p) * 1e-160;
    wide CONSTANT boolean := cardinality(ux) = 255;
    factor bytea;
    bit integer;
    multiple integer;
    -- The point to add.
    x2 numeric; y2 numeric;
    -- Infinity while it is 0.
    z numeric := 0;
    t numeric; a numeric; c numeric; d numeric; e numeric; h numeric; hh numeric; hhh numeric;
BEGIN
    FOR step IN 0 .. CASE WHEN wide THEN 63 ELSE 511 END LOOP
        factor := CASE step & 1 WHEN 0 THEN u ELSE v END;
        IF step & 1 = 0 AND z <> 0 THEN
            t := y * y; a := t - p * round(t * i);
            t := 4 * x * a; d := t - p * round(t * i);
            t := 3 * x * x; e := t - p * round(t * i);
            t := 2 * y * z; z := t - p * round(t * i);
            t := e * e - 2 * d; x := t - p * round(t * i);
            t := e * (d - x) - 8 * a * a; y := t - p * round(t * i);
        END IF;
        -- get_bit counts the lowest bit of a byte first.
        bit := (step >> 4 << 3) + 7 - (step >> 1 & 7);
        IF wide THEN
            multiple := get_bit(factor, bit) * 128 + get_bit(factor, bit + 32) * 64 + get_bit(factor, bit + 64) * 32
                + get_bit(factor, bit + 96) * 16 + get_bit(factor, bit + 128) * 8 + get_bit(factor, bit + 160) * 4
                + get_bit(factor, bit + 192) * 2 + get_bit(factor, bit + 224);
        ELSE
            multiple := get_bit(factor, bit);
        END IF;
        CONTINUE WHEN multiple = 0;
        IF step & 1 = 0 THEN
            x2 := ux[multiple]; y2 := uy[multiple];
        ELSE
            x2 := vx[multiple]; y2 := vy[multiple];
        END IF;
        IF z = 0 THEN
            x := x2; y := y2; z := 1;
            CONTINUE;
        END IF;

        t := z * z; c := t - p * round(t * i);
        t := x2 * c - x; h := t - p * round(t * i);
        t := z * c; a := t - p * round(t * i);
        t := y2 * a - y; e := t - p * round(t * i);
        IF h <> 0 THEN
            t := z * h; z := t - p * round(t * i);
            t := h * h; hh := t - p * round(t * i);
            t := h * hh; hhh := t - p * round(t * i);
            t := x * hh; d := t - p * round(t * i);
            t := e * e - hhh - 2 * d; x := t - p * round(t * i);
            t := e * (d - x) - y * hhh; y := t - p * round(t * i);
        ELSIF e <> 0 THEN
            -- A point and its opposite.
            z := 0;
        ELSE
            -- The same point twice: a doubling.
            t := y2 * y2; a := t - p * round(t * i);
            t := 4 * x2 * a; d := t - p * round(t * i);
            t := 3 * x2 * x2; e := t - p * round(t * i);
            z := 2 * y2;
            t := e * e - 2 * d; x := t - p * round(t * i);
            t := e * (d - x) - 8 * a * a; y := t - p * round(t * i);
        END IF;
    END LOOP;

    IF z = 0 THEN
        x := NULL; y := NULL;
    ELSE
        a := public.quorate_inverse(z, p);
        c := a * a % p;
        x := (x * c % p + p) % p;
        y := (y * (a * c % p) % p + p) % p;
    END IF;
END
$$;

-- Of a public key those sums that quorate_sum takes eight bits at a time: number 1 is the key, 2 is 2^32 times the key,
-- 4 is 2^64 times, and so on to 128, and every other one the sum of those whose numbers add up to its own.
CREATE FUNCTION public.quorate_multiples(key bytea, OUT xs numeric[], OUT ys numeric[])
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p CONSTANT numeric := 115792089237316195423570985008687907853269984665640564039457584007908834671663;
    x numeric := public.quorate_number(substr(key, 1, 32));
    y numeric := public.quorate_number(substr(key, 33, 32));
    z numeric; a numeric; d numeric; e numeric;
    size integer;
    -- For each point the product of what was to divide before it.
    products numeric[];
    product numeric;
    inverse numeric;
    slope numeric;
    x3 numeric;
BEGIN
    xs := ARRAY[x]; ys := ARRAY[y];
    FOR power IN 1 .. 7 LOOP
        z := 1;
        FOR doubling IN 1 .. 32 LOOP
            a := y * y % p;
            d := 4 * x * a % p;
            e := 3 * x * x % p;
            z := 2 * y * z % p;
            x := (e * e - 2 * d) % p;
            y := (e * (d - x) - 8 * a * a) % p;
        END LOOP;
        inverse := public.quorate_inverse(z, p);
        a := inverse * inverse % p;
        x := (x * a % p + p) % p;
        y := (y * (a * inverse % p) % p + p) % p;
        size := 1 << power;
        xs[size] := x; ys[size] := y;

        -- Adds it to all before it. Both factors are below 2^224 and differ: never a point twice, nor a point and its
        -- opposite. What all slopes are divided by is inverted at once (Montgomery).
        products := ARRAY[]::numeric[];
        product := 1;
        FOR other IN 1 .. size - 1 LOOP
            products[other] := product;
            product := product * (x - xs[other]) % p;
        END LOOP;
        inverse := public.quorate_inverse(product, p);
        FOR other IN REVERSE size - 1 .. 1 LOOP
            slope := (y - ys[other]) * (inverse * products[other] % p) % p;
            inverse := inverse * (x - xs[other]) % p;
            x3 := ((slope * slope - x - xs[other]) % p + p) % p;
            xs[size + other] := x3;
            ys[size + other] := ((slope * (x - x3) - y) % p + p) % p;
        END LOOP;
    END LOOP;
END
$$;

-- What a signature says: r, s, and whether the y of its point R is odd. Only the form that quorate writes is taken: 65
-- bytes, v 27 or 28, r and s above 0, r below the group's order n, s in its lower half. Else all is NULL.
CREATE FUNCTION public.quorate_read_signature(signature bytea, OUT r numeric, OUT s numeric, OUT odd integer)
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n CONSTANT numeric := 115792089237316195423570985008687907852837564279074904382605163141518161494337;
    half_n CONSTANT numeric := 57896044618658097711785492504343953926418782139537452191302581570759080747168;
BEGIN
    IF octet_length(signature) <> 65 THEN
        RETURN;
    END IF;
    r := public.quorate_number(substr(signature, 1, 32));
    s := public.quorate_number(substr(signature, 33, 32));
    odd := get_byte(signature, 64) - 27;
    IF odd NOT IN (0, 1) OR r = 0 OR r >= n OR s = 0 OR s > half_n THEN
        r := NULL; s := NULL; odd := NULL;
    END IF;
END
$$;

-- The public key that made this signature over this digest; NULL if there is none. It is (s * R - digest * G) / r, where
-- r is the x of R.
CREATE FUNCTION public.quorate_recover_key(digest bytea, signature bytea) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p CONSTANT numeric := 115792089237316195423570985008687907853269984665640564039457584007908834671663;
    n CONSTANT numeric := 115792089237316195423570985008687907852837564279074904382605163141518161494337;
    gx CONSTANT numeric[] := ARRAY[55066263022277343669578718895168534326250603453777594175500187360389116729240];
    gy CONSTANT numeric[] := ARRAY[32670510020758816978083085130507043184471273380659243275938904335757337482424];
    -- x^((p + 1) / 4) is a root of x, if there is one.
    exponent CONSTANT bytea :=
        decode('3fffffffffffffffffffffffffffffffffffffffffffffffffffffffbfffff0c', 'hex');
    said record;
    square numeric;
    root numeric := 1;
    inverse numeric;
    key record;
BEGIN
    said := public.quorate_read_signature(signature);
    IF octet_length(digest) <> 32 OR said.r IS NULL THEN
        RETURN NULL;
    END IF;
    square := (said.r * said.r % p * said.r + 7) % p;
    FOR bit IN 0 .. 255 LOOP
        root := root * root % p;
        IF get_bit(exponent, (bit >> 3 << 3) + 7 - (bit & 7)) = 1 THEN
            root := root * square % p;
        END IF;
    END LOOP;
    IF root * root % p <> square THEN
        RETURN NULL;
    END IF;
    IF root % 2 <> said.odd THEN
        root := p - root;
    END IF;
    inverse := public.quorate_inverse(said.r, n);
    key := public.quorate_sum(
        public.quorate_word((n - public.quorate_number(digest) % n) * inverse % n), gx, gy,
        public.quorate_word(said.s * inverse % n), ARRAY[said.r], ARRAY[root]
    );
    RETURN public.quorate_word(key.x) || public.quorate_word(key.y);
END
$$;

-- A node's address is the end of its public key's hash.
CREATE FUNCTION public.quorate_address(key bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substr(public.quorate_keccak256(key), 13)
$$;

-- Who made this signature over this digest; NULL if nobody did.
CREATE FUNCTION public.quorate_recover(digest bytea, signature bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT public.quorate_address(public.quorate_recover_key(digest, signature))
$$;

-- What every signer of a record has signed: the EIP-712 digest of its contents in its network's domain, as in
-- docs/protocol.md. NULL or an error if the contents are not what the tables' constraints let in.
CREATE FUNCTION public.quorate_digest(
    network text, feed text, sequence bigint, previous bytea, price numeric, "timestamp" timestamptz, observer bytea,
    evidence text
) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- keccak256('EIP712Domain(string name,string version,bytes32 salt)'), of 'quorate' and of '1'.
    domain_type_name_version CONSTANT bytea := decode('599a80fcaa47b95e2323ab4d34d34e0cc9feda4b843edafcc30c7bdf60ea15bf'
        '5f1b9328bc4cdfd580d39e2a0a8c78ab99a5645211ed33334f9c426718185609'
        'c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6', 'hex');
    -- keccak256('PriceObservation(string feed,uint64 sequence,bytes32 previous,uint256 price,uint64 observedAt,
    -- address observer,bytes32 evidence)'), without the line break
    observation_type CONSTANT bytea :=
        decode('326f0d124490d5174d359eade3ab97c848bdc03801ed585cb824fb53937ac454', 'hex');
    domain bytea;
    contents bytea;
BEGIN
    domain := public.quorate_keccak256(
        domain_type_name_version || public.quorate_keccak256(convert_to(network, 'UTF8'))
    );
    contents := public.quorate_keccak256(
        observation_type
        || public.quorate_keccak256(convert_to(feed, 'UTF8'))
        || public.quorate_word(sequence)
        || previous
        || public.quorate_word(trunc(price * 1e18))
        || public.quorate_word(round(extract(epoch FROM "timestamp")::numeric * 1000))
        || decode(repeat('00', 12), 'hex') || observer
        || public.quorate_keccak256(convert_to(evidence, 'UTF8'))
    );
    RETURN public.quorate_keccak256(decode('1901', 'hex') || domain || contents);
END
$$;

-- Whether the evidence is the canonical list that is signed (docs/protocol.md: 1 to 16 lines `source price time`, sorted by
-- source, one of each, in the one spelling that a number has), and the price its median: of an even number the midpoint,
-- rounded down to 18 decimals.
CREATE FUNCTION public.quorate_is_median_of(price numeric, evidence text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line CONSTANT text := '^[a-z0-9-]{1,32} (0|[1-9][0-9]{0,18})([.][0-9]{0,17}[1-9])? (0|[1-9][0-9]{0,19})$';
    lines text[] := string_to_array(evidence, chr(10));
    quotes integer := cardinality(lines) - 1;
    source text COLLATE "C";
    last_source text COLLATE "C" := '';
    prices numeric[] := ARRAY[]::numeric[];
BEGIN
    IF quotes NOT BETWEEN 1 AND 16 OR lines[quotes + 1] <> '' THEN
        RETURN false;
    END IF;
    FOR place IN 1 .. quotes LOOP
        IF lines[place] !~ line THEN
            RETURN false;
        END IF;
        source := split_part(lines[place], ' ', 1);
        prices := prices || split_part(lines[place], ' ', 2)::numeric;
        IF source <= last_source
            OR prices[place] NOT BETWEEN 0.000000000000000001 AND 1000000000000000000
            OR split_part(lines[place], ' ', 3)::numeric > 18446744073709551615
        THEN
            RETURN false;
        END IF;
        last_source := source;
    END LOOP;
    prices := ARRAY(SELECT one FROM unnest(prices) AS one ORDER BY one);
    IF quotes % 2 = 1 THEN
        RETURN price = prices[quotes / 2 + 1];
    END IF;
    RETURN price = trunc((prices[quotes / 2] + prices[quotes / 2 + 1]) * 0.5, 18);
END
$$;

COMMENT ON FUNCTION public.quorate_keccak256(bytea) IS
    'Keccak-256 as Ethereum has it';
COMMENT ON FUNCTION public.quorate_number(bytea) IS
    'Bytes as a number, the first byte the highest';
COMMENT ON FUNCTION public.quorate_word(numeric) IS
    'A number from 0 to 2^256 - 1 as 32 bytes';
COMMENT ON FUNCTION public.quorate_inverse(numeric, numeric) IS
    'The inverse of a number modulo a prime';
COMMENT ON FUNCTION public.quorate_sum(bytea, numeric[], numeric[], bytea, numeric[], numeric[]) IS
    'u * U + v * V, points of secp256k1; of each the point or its multiples are given';
COMMENT ON FUNCTION public.quorate_multiples(bytea) IS
    'The 255 multiples of a public key with which quorate_sum takes eight bits of a factor at a time';
COMMENT ON FUNCTION public.quorate_read_signature(bytea) IS
    'r, s and the parity of R from 65 bytes r, s, v; NULL unless they are in the one form that quorate writes';
COMMENT ON FUNCTION public.quorate_recover_key(bytea, bytea) IS
    'The public key (x, y) that made a signature over a digest; NULL if none';
COMMENT ON FUNCTION public.quorate_address(bytea) IS
    'The Ethereum address of a public key (x, y)';
COMMENT ON FUNCTION public.quorate_recover(bytea, bytea) IS
    'Who made a signature over a digest: an address, NULL if nobody. '
    'SELECT feed, sequence, signer, quorate_recover(digest, signature) = signer AS genuine '
    'FROM eth_prices, unnest(signers, signatures) AS by (signer, signature)';
COMMENT ON FUNCTION public.quorate_digest(text, text, bigint, bytea, numeric, timestamptz, bytea, text) IS
    'What the signers of a record have signed. SELECT feed, sequence, '
    'quorate_digest(network, feed, sequence, previous, price, timestamp, observer, evidence) = digest AS genuine '
    'FROM eth_prices';
COMMENT ON FUNCTION public.quorate_is_median_of(numeric, text) IS
    'Whether a text is canonical evidence, and a price the median of its quotes';

-- How the triggers say no: the constraint is a name that tests and logs can rely on.
CREATE FUNCTION public.quorate_refuse(relation text, rule text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%', reason
        USING ERRCODE = 'check_violation', SCHEMA = 'public', TABLE = relation, CONSTRAINT = rule;
END
$$;
COMMENT ON FUNCTION public.quorate_refuse(text, text, text) IS
    'Refuses a row in the name of a rule';
