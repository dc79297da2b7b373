CREATE FUNCTION planted_function.peek() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_class $$;
