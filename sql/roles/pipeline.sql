-- PostgreSQL: senti_pipeline trains, scores, publishes and maintains; it reads reviews and annotations, and cannot change
-- them (`senti forget` in a table of ours is therefore for the owner).
-- Run by the owner of the schema, after every `senti migrate`: psql "$DATABASE" -f sql/roles/pipeline.sql
-- It makes and drops partitions, and vacuums: for that it owns the tables of labels and runs. The owner of the schema
-- stays a member of it, so that views and migrations reach them as before.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'senti_pipeline') THEN
        CREATE ROLE senti_pipeline NOLOGIN;
    END IF;
    EXECUTE format('GRANT senti_pipeline TO %I', current_user);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO senti_pipeline', current_schema());
END
$$;

DO $$
DECLARE
    relation record;
BEGIN
    FOR relation IN
        SELECT tablename FROM pg_tables
        WHERE
            schemaname = current_schema()
            AND tablename NOT IN ('reviews', 'review_annotations', 'import_sources', 'warehouse_settings', 'alembic_version')
            AND (
                tableowner = current_user
                OR tableowner = 'senti_pipeline'
            )
    LOOP
        EXECUTE format('ALTER TABLE %I OWNER TO senti_pipeline', relation.tablename);
        EXECUTE format('GRANT ALL ON %I TO %I', relation.tablename, current_user);
    END LOOP;
    FOR relation IN
        SELECT viewname FROM pg_views WHERE schemaname = current_schema()
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO senti_pipeline', relation.viewname);
    END LOOP;
END
$$;

GRANT SELECT ON reviews, review_annotations, import_sources, warehouse_settings, alembic_version TO senti_pipeline;
