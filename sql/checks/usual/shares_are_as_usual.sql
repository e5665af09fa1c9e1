-- Passes when it returns no rows: the share of each label is close to its share in the last 28 published runs of its model.
-- A share is unusual if it differs by more than 0.05 and by more than 4 standard deviations. The variance is the
-- variance between those runs plus the variance of the share in a sample as large as this run. Nothing is compared if
-- there are fewer than 7 earlier runs. Runs of every scope but rescore are compared, with runs of the scope new.
WITH this_run AS (
    SELECT staged.label, COUNT(*) AS labels
    FROM staged_labels AS staged
    INNER JOIN scoring_runs AS run ON run.run_id = staged.run_id
    WHERE staged.run_id = :run_id AND run.scope <> 'rescore' AND staged.label IS NOT NULL
    GROUP BY staged.label
),

runs_before AS (
    SELECT earlier.run_id, earlier.model_version, earlier.labelled
    FROM scoring_runs AS earlier
    INNER JOIN scoring_runs AS run ON run.model_version = earlier.model_version
    WHERE run.run_id = :run_id AND earlier.state = 'published' AND earlier.scope = 'new' AND earlier.labelled > 0
    ORDER BY earlier.publish_seq DESC
    LIMIT 28
),

usual AS (
    SELECT
        known.label,
        COUNT(*) AS runs,
        (SUM(COALESCE(summary.labels, 0)) + 1.0) / (SUM(run.labelled) + 2.0) AS share,
        SUM(1.0 * COALESCE(summary.labels, 0) * COALESCE(summary.labels, 0) / run.labelled) / SUM(run.labelled)
        AS mean_square,
        1.0 * SUM(COALESCE(summary.labels, 0)) / SUM(run.labelled) AS mean
    FROM runs_before AS run
    INNER JOIN model_labels AS known ON known.model_version = run.model_version
    LEFT JOIN run_summaries AS summary ON summary.run_id = run.run_id AND summary.label = known.label
    GROUP BY known.label
),

compared AS (
    SELECT
        usual.label,
        usual.share AS usual_share,
        1.0 * COALESCE(this_run.labels, 0) / total.labels AS share,
        usual.mean_square - usual.mean * usual.mean + usual.share * (1 - usual.share) / total.labels AS variance
    FROM usual
    CROSS JOIN (SELECT SUM(labels) AS labels FROM this_run) AS total
    LEFT JOIN this_run ON this_run.label = usual.label
    WHERE usual.runs >= 7 AND total.labels > 0
)

SELECT
    label,
    CAST(ROUND(CAST(share AS NUMERIC), 3) AS DOUBLE PRECISION) AS share,
    CAST(ROUND(CAST(usual_share AS NUMERIC), 3) AS DOUBLE PRECISION) AS usual_share
FROM compared
WHERE ABS(share - usual_share) > 0.05 AND (share - usual_share) * (share - usual_share) > 16 * variance
