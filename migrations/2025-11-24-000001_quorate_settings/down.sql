DROP TABLE public.quorate_settings;
