-- PostgreSQL: senti_importer fills reviews and review_annotations (senti import). It cannot read the model's labels.
-- Run this file as the owner of the schema after every `senti migrate`: psql "$DATABASE" -f sql/roles/importer.sql
-- If reviews is a team's own table, the team's software fills it and this role is not needed.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'senti_importer') THEN
        CREATE ROLE senti_importer NOLOGIN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO senti_importer', current_schema());
END
$$;

GRANT SELECT, INSERT, UPDATE ON reviews, import_sources TO senti_importer;
GRANT SELECT, INSERT ON review_annotations TO senti_importer;
GRANT SELECT ON alembic_version, warehouse_settings, erased_reviews TO senti_importer;
GRANT USAGE ON SEQUENCE import_sources_source_id_seq TO senti_importer;
