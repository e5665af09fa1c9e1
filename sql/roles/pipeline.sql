-- PostgreSQL: senti_pipeline trains, scores, publishes and maintains. It reads reviews and annotations. It can neither
-- change them nor delete reviews, so `senti erase` of a review in a table made by senti needs the owner of that table.
-- Run this file as the owner of the schema after every `senti migrate`: psql "$DATABASE" -f sql/roles/pipeline.sql
-- The pipeline creates and drops partitions, and vacuums. Only an owner may do that, so this role becomes the owner of
-- every table of senti except those listed at the end of this file. The owner of the schema becomes a member of it
-- and keeps access to these tables.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'senti_pipeline') THEN
        CREATE ROLE senti_pipeline NOLOGIN;
    END IF;
    EXECUTE format('GRANT senti_pipeline TO %I', current_user);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO senti_pipeline', current_schema());
END
$$;

-- Only tables and views that `senti migrate` made and recorded; others in the schema are not touched.
DO $$
DECLARE
    relation record;
BEGIN
    FOR relation IN
        WITH recorded AS (
            SELECT to_regclass(format('%I.%I', current_schema(), substr(name, length('comments:') + 1))) AS called
            FROM warehouse_settings
            WHERE
                name LIKE 'comments:%'
                AND substr(name, length('comments:') + 1) NOT IN (
                    'reviews', 'review_annotations', 'import_sources', 'warehouse_settings', 'alembic_version'
                )
        ),

        ours AS (
            SELECT called FROM recorded
            UNION ALL
            SELECT CAST(inhrelid AS regclass) FROM pg_inherits WHERE inhparent IN (SELECT called FROM recorded)
        )

        SELECT ours.called, class.relkind, pg_has_role(class.relowner, 'USAGE') AS is_owner
        FROM ours
        INNER JOIN pg_class AS class ON class.oid = ours.called
    LOOP
        IF relation.relkind = 'v' THEN
            EXECUTE format('GRANT SELECT ON %s TO senti_pipeline', relation.called);
        ELSIF relation.is_owner THEN
            EXECUTE format('ALTER TABLE %s OWNER TO senti_pipeline', relation.called);
            EXECUTE format('GRANT ALL ON %s TO %I', relation.called, current_user);
        ELSE
            RAISE WARNING 'its owner or a superuser has to run: ALTER TABLE % OWNER TO senti_pipeline', relation.called;
        END IF;
    END LOOP;
    -- A publication uses a temporary table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO senti_pipeline', current_database());
    -- With SENTI_DELETED_REVIEWS=erase, maintenance erases the annotations of deleted reviews.
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'comments:review_annotations') THEN
        GRANT DELETE ON review_annotations TO senti_pipeline;
    END IF;
END
$$;

GRANT SELECT ON reviews, review_annotations, import_sources, warehouse_settings, alembic_version TO senti_pipeline;
