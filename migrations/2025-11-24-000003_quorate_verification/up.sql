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

-- base ^ exponent modulo a number of 256 bits; four bits of the exponent at a time. The result may be negative.
--
-- Here and below a product is reduced by a multiplication with 1 / modulus, rounded, instead of a division: half the
-- time. What is left lies between -modulus / 2 and modulus / 2 (or a little beyond), and is 0 exactly for multiples of
-- the modulus.
CREATE FUNCTION public.quorate_power(base numeric, exponent numeric, modulus numeric) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    inverse CONSTANT numeric := round(1e160 / modulus) * 1e-160;
    bytes CONSTANT bytea := public.quorate_word(exponent);
    powers numeric[] := ARRAY[base];
    t numeric;
    result numeric := 1;
    nibble integer;
BEGIN
    FOR i IN 2 .. 15 LOOP
        t := powers[i - 1] * base;
        powers[i] := t - modulus * round(t * inverse);
    END LOOP;
    FOR i IN 0 .. 63 LOOP
        t := result * result; t := t - modulus * round(t * inverse);
        t := t * t; t := t - modulus * round(t * inverse);
        t := t * t; t := t - modulus * round(t * inverse);
        t := t * t; result := t - modulus * round(t * inverse);
        nibble := get_byte(bytes, i / 2) >> (4 * (1 - i % 2)) & 15;
        IF nibble > 0 THEN
            t := result * powers[nibble];
            result := t - modulus * round(t * inverse);
        END IF;
    END LOOP;
    RETURN result;
END
$$;

-- The address, in small letters, whose key made this signature over this digest, both as they stand in the tables; NULL
-- if there is none. Only the form that quorate writes is taken: v 27 or 28, r and s above 0, r below the group's order,
-- s in its lower half.
--
-- The key is Q = (s * R - digest * G) / r, where r is R's x and v says which of the two R's it is. Both products are
-- made in one go (Straus), four bits at a time, with points as (X / Z^2, Y / Z^3) so that nothing is divided before the
-- end.
CREATE FUNCTION public.quorate_recover(digest text, signature text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- secp256k1: y^2 = x^3 + 7 modulo p; the group has n points. (SEC 2, version 2, section 2.4.1)
    p CONSTANT numeric := 115792089237316195423570985008687907853269984665640564039457584007908834671663;
    n CONSTANT numeric := 115792089237316195423570985008687907852837564279074904382605163141518161494337;
    half_n CONSTANT numeric := 57896044618658097711785492504343953926418782139537452191302581570759080747168;
    -- 1 / p to 160 decimals: see quorate_power.
    i CONSTANT numeric := round(1e160 / p) * 1e-160;
    -- The points G, 2 G, ... 15 G.
    gx CONSTANT numeric[] := ARRAY[
        55066263022277343669578718895168534326250603453777594175500187360389116729240,
        89565891926547004231252920425935692360644145829622209833684329913297188986597,
        112711660439710606056748659173929673102114977341539408544630613555209775888121,
        103388573995635080359749164254216598308788835304023601477803095234286494993683,
        21505829891763648114329055987619236494102133314575206970830385799158076338148,
        115780575977492633039504758427830329241728645270042306223540962614150928364886,
        41948375291644419605210209193538855353224492619856392092318293986323063962044,
        21262057306151627953595685090280431278183829487175876377991189246716355947009,
        78173298682877769088723994436027545680738210601369041078747105985693655485630,
        72488970228380509287422715226575535698893157273063074627791787432852706183111,
        53957576663012291606402345341061437133522758407718089353314528343643821967563,
        94111259592240215275188773285036844871058226277992966241101117022315524122714,
        109699032664856045668214896063362497021339186688470416858630178803463338613416,
        33301309993451753050311554695703528430361259803437469669590207169100761277412,
        97505755694356382817881959832717013755620551362654128955029190924747025549326
    ];
    gy CONSTANT numeric[] := ARRAY[
        32670510020758816978083085130507043184471273380659243275938904335757337482424,
        12158399299693830322967808612713398636155367887041628176798871954788371653930,
        25583027980570883691656905877401976406448868254816295069919888960541586679410,
        37057141145242123013015316630864329550140216928701153669873286428255828810018,
        98003708678762621233683240503080860129026887322874138805529884920309963580118,
        78735063515800386211891312544505775871260717697865196436804966483607426560663,
        48361766907851246668144012348516735800090617714386977531302791340517493990618,
        41749993296225487051377864631615517161996906063147759678534462689479575333124,
        92362876758821804597230797234617159328445543067760556585160674174871431781431,
        62070622898698443831883535403436258712770888294397026493185421712108624767191,
        98386217607324929854432842186271083758341411730506808463586570492533445740059,
        76870767327212528811304566602812752860184934880685532702451763239157141742375,
        4835088675770141268294878046681321747490758260515711581034896622314066275713,
        91711666877231500617203373035680263572492971120307578300405368749466283229019,
        39856815248295663243990443767776362321337592747889787217974905533720651000664
    ];
    bytes bytea;
    r numeric;
    s numeric;
    parity integer;
    -- Multiples of R: X, Y, Z, and Z^2 and Z^3, which every addition needs.
    rx numeric[];
    ry numeric[];
    rz numeric[];
    rzz numeric[];
    rzzz numeric[];
    g_bytes bytea;
    r_bytes bytea;
    byte integer;
    nibble integer;
    -- The point to add.
    x2 numeric;
    y2 numeric;
    is_affine boolean;
    -- The sum so far; infinity while z is 0.
    x numeric := 1;
    y numeric := 1;
    z numeric := 0;
    -- The intermediate values of a doubling or an addition; t is what is to be reduced next.
    t numeric; a numeric; c numeric; d numeric; e numeric; h numeric; hh numeric; hhh numeric;
BEGIN
    IF digest !~ '^0x[0-9a-f]{64}$' OR signature !~ '^0x[0-9a-f]{130}$' THEN
        RETURN NULL;
    END IF;
    bytes := decode(substr(signature, 3), 'hex');
    r := public.quorate_number(substr(bytes, 1, 32));
    s := public.quorate_number(substr(bytes, 33, 32));
    parity := get_byte(bytes, 64) - 27;
    IF parity NOT IN (0, 1) OR r = 0 OR r >= n OR s = 0 OR s > half_n THEN
        RETURN NULL;
    END IF;

    -- R: the root of x^3 + 7, if it is a square, that is odd or even as v says.
    c := (r * r % p * r + 7) % p;
    a := public.quorate_power(c, 28948022309329048855892746252171976963317496166410141009864396001977208667916, p);
    IF (a * a - c) % p <> 0 THEN
        RETURN NULL;
    END IF;
    a := (a + p) % p;
    IF a % 2 <> parity THEN
        a := p - a;
    END IF;

    -- The factors: -digest / r of G, and s / r of R.
    t := public.quorate_power(r, 115792089237316195423570985008687907852837564279074904382605163141518161494335, n);
    g_bytes := public.quorate_word((-public.quorate_number(decode(substr(digest, 3), 'hex')) * t % n + n) % n);
    r_bytes := public.quorate_word((s * t % n + n) % n);

    rx := ARRAY[r]; ry := ARRAY[a]; rz := ARRAY[1::numeric]; rzz := rz; rzzz := rz;
    x := r; y := a; z := 1;
    FOR step IN -14 .. 127 LOOP
        IF step < 0 THEN
            -- Makes the table: R to the multiple before.
            x2 := rx[1]; y2 := ry[1]; is_affine := true;
        ELSE
            -- Two steps a nibble: G's, after four doublings, and R's.
            IF step = 0 THEN
                z := 0;
            END IF;
            IF step % 2 = 0 THEN
                IF z <> 0 THEN
                    FOR doubling IN 1 .. 4 LOOP
                        t := y * y; a := t - p * round(t * i);
                        t := 4 * x * a; d := t - p * round(t * i);
                        t := 3 * x * x; e := t - p * round(t * i);
                        t := 2 * y * z; z := t - p * round(t * i);
                        t := e * e - 2 * d; x := t - p * round(t * i);
                        t := e * (d - x) - 8 * a * a; y := t - p * round(t * i);
                    END LOOP;
                END IF;
                byte := get_byte(g_bytes, step / 4);
            ELSE
                byte := get_byte(r_bytes, step / 4);
            END IF;
            nibble := CASE WHEN step % 4 < 2 THEN byte >> 4 ELSE byte & 15 END;
            CONTINUE WHEN nibble = 0;
            is_affine := step % 2 = 0;
            IF is_affine THEN
                x2 := gx[nibble]; y2 := gy[nibble];
            ELSE
                x2 := rx[nibble]; y2 := ry[nibble];
            END IF;
        END IF;

        IF z = 0 THEN
            x := x2; y := y2;
            z := CASE WHEN is_affine THEN 1 ELSE rz[nibble] END;
        ELSE
            IF NOT is_affine THEN
                -- Brings the sum to the denominator of both.
                t := x * rzz[nibble]; x := t - p * round(t * i);
                t := y * rzzz[nibble]; y := t - p * round(t * i);
            END IF;
            t := z * z; c := t - p * round(t * i);
            t := x2 * c - x; h := t - p * round(t * i);
            t := z * c; a := t - p * round(t * i);
            t := y2 * a - y; e := t - p * round(t * i);
            IF h <> 0 THEN
                t := z * h; z := t - p * round(t * i);
                IF NOT is_affine THEN
                    t := z * rz[nibble]; z := t - p * round(t * i);
                END IF;
                t := h * h; hh := t - p * round(t * i);
                t := h * hh; hhh := t - p * round(t * i);
                t := x * hh; d := t - p * round(t * i);
                t := e * e - hhh - 2 * d; x := t - p * round(t * i);
                t := e * (d - x) - y * hhh; y := t - p * round(t * i);
            ELSIF e <> 0 THEN
                -- A point and its opposite.
                z := 0;
            ELSE
                -- The same point twice: a doubling. x and y may stand over another z by now, x2 and y2 do not.
                x := x2; y := y2; z := CASE WHEN is_affine THEN 1 ELSE rz[nibble] END;
                t := y * y; a := t - p * round(t * i);
                t := 4 * x * a; d := t - p * round(t * i);
                t := 3 * x * x; e := t - p * round(t * i);
                t := 2 * y * z; z := t - p * round(t * i);
                t := e * e - 2 * d; x := t - p * round(t * i);
                t := e * (d - x) - 8 * a * a; y := t - p * round(t * i);
            END IF;
        END IF;

        IF step < 0 THEN
            rx := rx || x; ry := ry || y; rz := rz || z;
            t := z * z; c := t - p * round(t * i);
            t := z * c; a := t - p * round(t * i);
            rzz := rzz || c; rzzz := rzzz || a;
        END IF;
    END LOOP;

    IF z = 0 THEN
        RETURN NULL;
    END IF;
    -- Back to one x and one y, from 0 to p - 1.
    a := public.quorate_power(z, 115792089237316195423570985008687907853269984665640564039457584007908834671661, p);
    c := a * a % p;
    x := (x * c % p + p) % p;
    y := (y * (c * a % p) % p + p) % p;
    bytes := public.quorate_keccak256(public.quorate_word(x) || public.quorate_word(y));
    RETURN '0x' || encode(substr(bytes, 13), 'hex');
END
$$;

-- What every signer of a record has signed: the EIP-712 digest of its contents in its network's domain, as in
-- docs/protocol.md. NULL or an error if the contents are not what the table's constraints let in.
CREATE FUNCTION public.quorate_digest(
    network text, feed text, price numeric, "timestamp" timestamptz, observer text, evidence jsonb
) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- keccak256('EIP712Domain(string name,string version,bytes32 salt)'), of 'quorate' and of '1'.
    domain_type_name_version CONSTANT bytea := decode('599a80fcaa47b95e2323ab4d34d34e0cc9feda4b843edafcc30c7bdf60ea15bf'
        '5f1b9328bc4cdfd580d39e2a0a8c78ab99a5645211ed33334f9c426718185609'
        'c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6', 'hex');
    -- keccak256('PriceObservation(string feed,uint256 price,uint64 observedAt,address observer,bytes32 evidence)')
    observation_type CONSTANT bytea :=
        decode('0203f69969ca12ea3e9d56e023340dd2a2f97211b579c04faf12f99c0ef22d52', 'hex');
    canonical text;
    domain bytea;
    contents bytea;
BEGIN
    SELECT string_agg(
        format('%s %s %s', quote ->> 'source', trim_scale((quote ->> 'price')::numeric), quote ->> 'at') || chr(10),
        '' ORDER BY place
    ) INTO canonical
    FROM jsonb_array_elements(evidence) WITH ORDINALITY AS listed (quote, place);

    domain := public.quorate_keccak256(
        domain_type_name_version || public.quorate_keccak256(convert_to(network, 'UTF8'))
    );
    contents := public.quorate_keccak256(
        observation_type
        || public.quorate_keccak256(convert_to(feed, 'UTF8'))
        || public.quorate_word(trunc(price * 1e18))
        || public.quorate_word(round(extract(epoch FROM "timestamp")::numeric * 1000))
        || decode(repeat('00', 12) || substr(observer, 3), 'hex')
        || public.quorate_keccak256(convert_to(canonical, 'UTF8'))
    );
    RETURN '0x' || encode(public.quorate_keccak256(decode('1901', 'hex') || domain || contents), 'hex');
END
$$;

COMMENT ON FUNCTION public.quorate_keccak256(bytea) IS
    'Keccak-256 as Ethereum has it';
COMMENT ON FUNCTION public.quorate_number(bytea) IS
    'Bytes as a number, the first byte the highest';
COMMENT ON FUNCTION public.quorate_word(numeric) IS
    'A number from 0 to 2^256 - 1 as 32 bytes';
COMMENT ON FUNCTION public.quorate_power(numeric, numeric, numeric) IS
    'base ^ exponent modulo a number of 256 bits; may be negative';
COMMENT ON FUNCTION public.quorate_recover(text, text) IS
    'Who made a signature over a digest: an address in small letters, NULL if nobody. '
    'SELECT signer, quorate_recover(digest, signature) = lower(signer) AS genuine FROM eth_price_signatures';
COMMENT ON FUNCTION public.quorate_digest(text, text, numeric, timestamptz, text, jsonb) IS
    'What the signers of a record have signed. '
    'SELECT id, quorate_digest(network, feed, price, timestamp, observer, evidence) = digest AS genuine '
    'FROM eth_prices';

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
