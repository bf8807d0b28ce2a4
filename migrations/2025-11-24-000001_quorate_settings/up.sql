-- What the owner decides for all nodes. The node role may read it, never change it.

CREATE TABLE public.quorate_settings (
    write_interval interval NOT NULL DEFAULT '30 seconds',
    min_signatures integer NOT NULL DEFAULT 3,
    only_row boolean PRIMARY KEY DEFAULT true,
    min_validators integer NOT NULL DEFAULT 1,
    network text,

    -- Hours, minutes and seconds only: a day or a month is not the same length everywhere on a calendar.
    CONSTRAINT quorate_settings_write_interval_is_a_duration CHECK (
        write_interval BETWEEN '100 milliseconds' AND '168 hours'
        AND extract(day FROM write_interval) = 0
        AND extract(month FROM write_interval) = 0
        AND extract(year FROM write_interval) = 0
    ),
    -- A message carries at most 128 signatures.
    CONSTRAINT quorate_settings_min_signatures_in_range CHECK (min_signatures BETWEEN 1 AND 128),
    CONSTRAINT quorate_settings_min_validators_in_range CHECK (min_validators BETWEEN 0 AND 128),
    CONSTRAINT quorate_settings_network_is_a_name CHECK (network ~ '^[a-z0-9-]{1,32}$'),
    CONSTRAINT quorate_settings_has_one_row CHECK (only_row)
);

INSERT INTO public.quorate_settings DEFAULT VALUES;

COMMENT ON TABLE public.quorate_settings IS
    'One row: what the owner decides for all nodes. Change it with: quorate migrate --write-interval 30s --min-signatures 3';
COMMENT ON COLUMN public.quorate_settings.write_interval IS
    'The write window: the least time between two records of a feed, by the clock of this database';
COMMENT ON COLUMN public.quorate_settings.min_signatures IS
    'A record with fewer distinct signers is refused';
COMMENT ON COLUMN public.quorate_settings.only_row IS
    'Always true: keeps the table to one row';
COMMENT ON COLUMN public.quorate_settings.min_validators IS
    'If quorate_members lists validators: a record with fewer of their signatures is refused';
COMMENT ON COLUMN public.quorate_settings.network IS
    'The network whose records stand here: the first record sets it, and one of another network is refused';
