-- PostgreSQL: senti_pipeline trains, scores, publishes and maintains; it reads reviews and annotations, and can neither
-- change them nor delete reviews (`senti erase` of one that stands in a table of ours is therefore for the owner).
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

-- What is ours, and nothing that stands beside it in the schema: `senti migrate` keeps a record of it.
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

        SELECT ours.called, class.relkind, pg_has_role(class.relowner, 'USAGE') AS may_give
        FROM ours
        INNER JOIN pg_class AS class ON class.oid = ours.called
    LOOP
        IF relation.relkind = 'v' THEN
            EXECUTE format('GRANT SELECT ON %s TO senti_pipeline', relation.called);
        ELSIF relation.may_give THEN
            EXECUTE format('ALTER TABLE %s OWNER TO senti_pipeline', relation.called);
            EXECUTE format('GRANT ALL ON %s TO %I', relation.called, current_user);
        ELSE
            RAISE WARNING 'its owner, or a superuser, has to run: ALTER TABLE % OWNER TO senti_pipeline', relation.called;
        END IF;
    END LOOP;
    -- A publication judges its answers in a temporary table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO senti_pipeline', current_database());
    -- With SENTI_DELETED_REVIEWS=erase maintenance erases what people said of reviews that are gone.
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'comments:review_annotations') THEN
        GRANT DELETE ON review_annotations TO senti_pipeline;
    END IF;
END
$$;

GRANT SELECT ON reviews, review_annotations, import_sources, warehouse_settings, alembic_version TO senti_pipeline;
