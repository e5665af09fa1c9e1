-- Creates the partition of one of senti's tables for one key, unless it exists. Others get the rights on it that they have on the table.
-- PostgreSQL gives partitions only to the owner of a table. senti_pipeline owns no table, so this function runs with the rights of
-- the owner of the warehouse. Its search path is fixed: otherwise the caller's own objects could take the place of those it uses.
CREATE OR REPLACE FUNCTION senti_create_partition(of_table text, for_key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent regclass := to_regclass(quote_ident(of_table));
    partition name := of_table || '_' || for_key;
    granted record;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM warehouse_settings AS setting WHERE setting.name = 'comments:' || of_table) THEN
        RAISE EXCEPTION '% is no table of senti', of_table;
    END IF;
    IF EXISTS (
        SELECT 1 FROM pg_inherits AS line
        INNER JOIN pg_class AS child ON child.oid = line.inhrelid
        WHERE line.inhparent = parent AND child.relname = partition
    ) THEN
        RETURN;
    END IF;
    -- CREATE TABLE ... PARTITION OF would block readers of the whole table. ATTACH does not.
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING ALL)', partition, parent);
    FOR granted IN
        SELECT
            acl.privilege_type AS privilege,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(acl.grantee AS regrole) AS text) END AS grantee
        FROM pg_class AS class, aclexplode(class.relacl) AS acl
        WHERE class.oid = parent AND acl.grantee <> class.relowner
    LOOP
        EXECUTE format('GRANT %s ON %I TO %s', granted.privilege, partition, granted.grantee);
    END LOOP;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES IN (%L)', parent, partition, for_key);
END
$$;

DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION senti_create_partition(text, text) SET search_path = %I, pg_temp', current_schema()
    );
END
$$;

REVOKE ALL ON FUNCTION senti_create_partition(text, text) FROM PUBLIC;
