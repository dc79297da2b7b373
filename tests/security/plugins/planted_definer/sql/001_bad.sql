CREATE FUNCTION planted_definer.peek(o text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET app.org_id = '' AS $$ BEGIN RETURN o; END $$;
