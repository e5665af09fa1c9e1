-- PostgreSQL: senti_importer fills reviews and review_annotations (senti import). It cannot read the model's labels.
-- It may update columns, but no table: with UPDATE on a table it could lock the table (LOCK TABLE) and make every run wait.
-- If reviews is a team's own table, the team's software fills it, and this role may only read.
-- `senti migrate` runs this file.
DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO senti_importer', current_schema());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO senti_importer', current_database());
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'reviews_made_by' AND value = 'senti') THEN
        GRANT SELECT, INSERT ON reviews TO senti_importer;
        GRANT UPDATE (review_text, product, created_at, updated_at, attributes) ON reviews TO senti_importer;
    END IF;
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'comments:review_annotations') THEN
        GRANT SELECT, INSERT ON review_annotations TO senti_importer;
    END IF;
END
$$;

GRANT SELECT, INSERT ON import_sources TO senti_importer;
GRANT UPDATE (name, revision) ON import_sources TO senti_importer;
GRANT SELECT ON alembic_version, warehouse_settings, erased_reviews TO senti_importer;
GRANT USAGE ON SEQUENCE import_sources_source_id_seq TO senti_importer;
