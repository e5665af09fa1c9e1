-- PostgreSQL: senti_pipeline trains, scores, publishes and maintains. It reads reviews and annotations. It can neither change
-- them nor delete reviews. It owns nothing and can create nothing but temporary tables, because the owner of a table can give it
-- a trigger, which runs with the rights of whoever changes the table. It creates and drops partitions with sql/functions.
-- `senti migrate` runs this file.
DO $$
DECLARE
    relation record;
    privilege text;
    sequence regclass;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO senti_pipeline', current_schema());
    -- A publication uses a temporary table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO senti_pipeline', current_database());
    -- Only tables and views that `senti migrate` made and recorded; others in the schema are not touched.
    FOR relation IN
        WITH recorded AS (
            SELECT
                substr(name, length('comments:') + 1) AS called,
                to_regclass(quote_ident(substr(name, length('comments:') + 1))) AS oid
            FROM warehouse_settings
            WHERE name LIKE 'comments:%'
        ),

        ours AS (
            SELECT called, oid FROM recorded
            UNION ALL
            SELECT recorded.called, CAST(line.inhrelid AS regclass)
            FROM pg_inherits AS line
            INNER JOIN recorded ON recorded.oid = line.inhparent
            -- senti_create_partition gives a partition its rights. Others are left alone, since a run may be dropping them.
            WHERE NOT has_table_privilege('senti_pipeline', line.inhrelid, 'MAINTAIN')
        )

        SELECT
            ours.oid,
            CASE
                WHEN
                    class.relkind = 'v'
                    OR ours.called IN (
                        'reviews', 'review_annotations', 'import_sources', 'calendar_days', 'warehouse_settings',
                        'alembic_version'
                    )
                    THEN ARRAY['SELECT']
                ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MAINTAIN']
            END AS rights
        FROM ours
        INNER JOIN pg_class AS class ON class.oid = ours.oid
    LOOP
        -- A GRANT would wait for a run that is creating the first partition of a table, so nothing is granted twice.
        FOREACH privilege IN ARRAY relation.rights LOOP
            IF NOT has_table_privilege('senti_pipeline', relation.oid, privilege) THEN
                EXECUTE format('GRANT %s ON %s TO senti_pipeline', privilege, relation.oid);
            END IF;
        END LOOP;
        IF 'INSERT' = ANY(relation.rights) THEN
            FOR sequence IN
                SELECT depends.objid FROM pg_depend AS depends
                INNER JOIN pg_class AS class ON class.oid = depends.objid AND class.relkind = 'S'
                WHERE depends.refobjid = relation.oid AND depends.deptype IN ('a', 'i')
            LOOP
                EXECUTE format('GRANT USAGE ON SEQUENCE %s TO senti_pipeline', sequence);
            END LOOP;
        END IF;
    END LOOP;
    -- With SENTI_DELETED_REVIEWS=erase, maintenance erases the annotations of deleted reviews.
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'comments:review_annotations') THEN
        GRANT DELETE ON review_annotations TO senti_pipeline;
    END IF;
END
$$;

-- These two may be a team's own tables, which are not recorded.
GRANT SELECT ON reviews, review_annotations TO senti_pipeline;
GRANT EXECUTE ON FUNCTION senti_create_partition(text, text), senti_drop_partition(text, text) TO senti_pipeline;
