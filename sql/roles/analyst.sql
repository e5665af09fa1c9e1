-- PostgreSQL: senti_analyst reads the views of sql/views, and no other table or view of the schema.
-- Run this file as the owner of the schema after every `senti migrate`: psql "$DATABASE" -f sql/roles/analyst.sql
-- Give the role to people with: GRANT senti_analyst TO somebody. A view reads its tables with the rights of its owner.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'senti_analyst') THEN
        CREATE ROLE senti_analyst NOLOGIN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO senti_analyst', current_schema());
END
$$;

DO $$
DECLARE
    relation record;
BEGIN
    FOR relation IN
        SELECT substr(name, length('view:') + 1) AS called FROM warehouse_settings WHERE name LIKE 'view:%'
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO senti_analyst', relation.called);
    END LOOP;
END
$$;
