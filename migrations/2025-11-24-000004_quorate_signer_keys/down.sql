DROP FUNCTION public.quorate_is_signed(bytea, bytea, bytea);
DROP FUNCTION public.quorate_keep_key(bytea);
DROP TABLE public.quorate_signer_keys;
