-- Passes when it returns no rows: the run's model is registered, and the variant that scored has the verdict proven.
SELECT run.model_version, run.variant
FROM scoring_runs AS run
LEFT JOIN model_variants AS served
    ON served.model_version = run.model_version AND served.variant = run.variant AND served.verdict = 'proven'
WHERE run.run_id = :run_id AND served.variant IS NULL
