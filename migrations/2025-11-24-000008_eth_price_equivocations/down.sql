DROP TABLE public.eth_price_equivocations;
DROP FUNCTION public.quorate_verify_equivocation();
