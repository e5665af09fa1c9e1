-- PostgreSQL: senti_analyst reads the views of sql/views, and no other table or view of the schema. A view reads its tables with
-- the rights of its owner, the owner of the warehouse.
-- `senti migrate` runs this file.
DO $$
DECLARE
    relation record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO senti_analyst', current_schema());
    FOR relation IN
        SELECT substr(name, length('view:') + 1) AS called FROM warehouse_settings WHERE name LIKE 'view:%'
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO senti_analyst', relation.called);
    END LOOP;
END
$$;
