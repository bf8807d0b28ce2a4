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

-- Whether this address is, or was, a member so that its signature on something observed then counts now. Yes for
-- everybody if no members are listed.
CREATE FUNCTION public.quorate_is_member(who bytea, observed_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_at timestamptz;
BEGIN
    SELECT coalesce(removed_at, 'infinity') INTO left_at
        FROM public.quorate_members WHERE lower(address) = '0x' || encode(who, 'hex');
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
COMMENT ON FUNCTION public.quorate_is_member(bytea, timestamptz) IS
    'Whether a signature of this address on something observed at this time counts now';

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
