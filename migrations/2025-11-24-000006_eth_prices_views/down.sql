DROP VIEW public.eth_prices_hex;
DROP VIEW public.eth_prices_readable;
