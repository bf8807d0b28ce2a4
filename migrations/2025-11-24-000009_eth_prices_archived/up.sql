-- Where the records of a feed begin, once older ones have been archived and removed: so that whoever verifies the rest knows
-- which record its first one has to follow.

CREATE TABLE public.eth_prices_archived (
    feed text PRIMARY KEY,
    sequence bigint NOT NULL,
    digest bytea NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT eth_prices_archived_has_records CHECK (sequence >= 1),
    CONSTRAINT eth_prices_archived_digest_is_32_bytes CHECK (octet_length(digest) = 32)
);

COMMENT ON TABLE public.eth_prices_archived IS
    'The last record of each feed that was removed from eth_prices, after quorate archive --remove had it in a file';
COMMENT ON COLUMN public.eth_prices_archived.feed IS
    'What is priced';
COMMENT ON COLUMN public.eth_prices_archived.sequence IS
    'The number of the last record that was removed, with all before it: eth_prices goes on with the next one';
COMMENT ON COLUMN public.eth_prices_archived.digest IS
    'The digest of that record: what the next one names as previous';
COMMENT ON COLUMN public.eth_prices_archived.archived_at IS
    'When it was removed';
