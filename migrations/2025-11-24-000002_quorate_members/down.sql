DROP FUNCTION public.quorate_is_member(bytea, timestamptz);
DROP TABLE public.quorate_members;
