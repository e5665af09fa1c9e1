-- Passes when it returns no rows: each staged label is one of the labels of the run's model.
SELECT staged.review_id, staged.label
FROM staged_labels AS staged
INNER JOIN scoring_runs AS run ON run.run_id = staged.run_id
LEFT JOIN model_labels AS known ON known.model_version = run.model_version AND known.label = staged.label
WHERE staged.run_id = :run_id AND staged.label IS NOT NULL AND known.label IS NULL
