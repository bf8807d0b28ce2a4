DROP TABLE public.eth_prices_lost;
DROP FUNCTION public.quorate_check_lost_record();
