-- PostgreSQL 17 or newer: the roles of senti, which have no rights yet. An administrator runs this file once on a server, before
-- the first `senti migrate`: psql "$SERVER" -f sql/roles/create.sql
-- Each `senti migrate` then gives them their rights, with the other files of this folder. It runs as the owner of the warehouse,
-- who is none of them and does nothing else. Give a role to a person or a program with: GRANT senti_pipeline TO somebody.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['senti_pipeline', 'senti_importer', 'senti_eraser', 'senti_analyst'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
END
$$;

GRANT senti_pipeline TO senti_eraser;
