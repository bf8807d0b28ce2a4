DROP TABLE public.eth_prices_archived;
