-- The extension stays: something else in this database may use it.
DROP TABLE public.eth_prices;
DROP FUNCTION public.quorate_remember_record();
DROP FUNCTION public.quorate_judge_certificate();
DROP FUNCTION public.quorate_follow_last_record();
DROP FUNCTION public.quorate_require_read_committed(text);
