-- Drops the partition of one of senti's tables for one key, if it exists: every row of the key.
-- See senti_create_partition for why it runs with the rights of the owner of the warehouse, and with a fixed search path.
CREATE OR REPLACE FUNCTION senti_drop_partition(of_table text, for_key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition name := of_table || '_' || for_key;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM warehouse_settings AS setting WHERE setting.name = 'comments:' || of_table) THEN
        RAISE EXCEPTION '% is no table of senti', of_table;
    END IF;
    IF EXISTS (
        SELECT 1 FROM pg_inherits AS line
        INNER JOIN pg_class AS child ON child.oid = line.inhrelid
        WHERE line.inhparent = to_regclass(quote_ident(of_table)) AND child.relname = partition
    ) THEN
        EXECUTE format('DROP TABLE %I', partition);
    END IF;
END
$$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION senti_drop_partition(text, text) SET search_path = %I, pg_temp', current_schema());
END
$$;

REVOKE ALL ON FUNCTION senti_drop_partition(text, text) FROM PUBLIC;
