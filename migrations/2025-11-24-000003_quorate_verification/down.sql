DROP FUNCTION public.quorate_refuse(text, text, text);
DROP FUNCTION public.quorate_digest(text, text, numeric, timestamptz, text, jsonb);
DROP FUNCTION public.quorate_recover(text, text);
DROP FUNCTION public.quorate_power(numeric, numeric, numeric);
DROP FUNCTION public.quorate_word(numeric);
DROP FUNCTION public.quorate_number(bytea);
DROP FUNCTION public.quorate_keccak256(bytea);
