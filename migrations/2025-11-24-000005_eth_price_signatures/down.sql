DROP VIEW public.eth_prices_signed;
DROP TRIGGER quorate_require_signatures ON public.eth_prices;
DROP TABLE public.eth_price_signatures;
DROP FUNCTION public.quorate_only_with_record();
DROP FUNCTION public.quorate_verify_signature();
DROP FUNCTION public.quorate_require_signatures();
