-- Passes when it returns no rows: the run's model is registered, and the form that scored was proven to give its labels.
SELECT run.model_version, run.form
FROM scoring_runs AS run
LEFT JOIN model_forms AS served
    ON served.model_version = run.model_version AND served.form = run.form AND served.verdict = 'proven'
WHERE run.run_id = :run_id AND served.form IS NULL
