-- The extension stays: something else in this database may use it.
DROP TABLE public.eth_prices;
DROP FUNCTION public.quorate_verify_record();
DROP FUNCTION public.quorate_stamp_record();
DROP FUNCTION public.quorate_is_median_of(numeric, jsonb);
