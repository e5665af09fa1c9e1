-- PostgreSQL: senti_analyst reads the views, and nothing else.
-- Run by the owner of the schema, after every `senti migrate`: psql "$DATABASE" -f sql/roles/analyst.sql
-- Give it to people: GRANT senti_analyst TO somebody. Views read tables with their owner's rights.
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
        SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname <> 'reviews'
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO senti_analyst', relation.viewname);
    END LOOP;
END
$$;
