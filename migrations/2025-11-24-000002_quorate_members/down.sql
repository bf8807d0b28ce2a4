DROP FUNCTION public.quorate_is_member(text, timestamptz);
DROP TABLE public.quorate_members;
