-- Passes when it returns no rows: the mean confidence is close to the mean of the last 28 published runs of this model.
-- It is unusual if it differs by more than 0.02 and by more than 4 standard deviations. The variance is the variance
-- between those runs plus the variance of the mean of a sample as large as this run. Nothing is compared if there are
-- fewer than 7 earlier runs. Runs of every scope but rescore are compared, with runs of the scope new.
WITH this_run AS (
    SELECT COUNT(*) AS labels, AVG(staged.confidence) AS confidence
    FROM staged_labels AS staged
    INNER JOIN scoring_runs AS run ON run.run_id = staged.run_id
    WHERE staged.run_id = :run_id AND run.scope <> 'rescore' AND staged.label IS NOT NULL
),

runs_before AS (
    SELECT earlier.run_id
    FROM scoring_runs AS earlier
    INNER JOIN scoring_runs AS run ON run.model_version = earlier.model_version
    WHERE run.run_id = :run_id AND earlier.state = 'published' AND earlier.scope = 'new' AND earlier.labelled > 0
    ORDER BY earlier.publish_seq DESC
    LIMIT 28
),

means AS (
    SELECT
        SUM(summary.labels) AS labels,
        SUM(summary.confidence_sum) AS confidence_sum,
        SUM(summary.confidence_squares) AS confidence_squares
    FROM runs_before AS run
    INNER JOIN run_summaries AS summary ON summary.run_id = run.run_id
    GROUP BY run.run_id
),

usual AS (
    SELECT
        COUNT(*) AS runs,
        SUM(confidence_sum) / SUM(labels) AS confidence,
        SUM(confidence_sum * confidence_sum / labels) / SUM(labels) AS mean_square,
        SUM(confidence_squares) / SUM(labels) AS square
    FROM means
),

compared AS (
    SELECT
        this_run.confidence,
        usual.confidence AS usual_confidence,
        usual.mean_square - usual.confidence * usual.confidence
        + (usual.square - usual.confidence * usual.confidence) / this_run.labels AS variance
    FROM usual
    CROSS JOIN this_run
    WHERE usual.runs >= 7 AND this_run.labels > 0
)

SELECT
    CAST(ROUND(CAST(confidence AS NUMERIC), 4) AS DOUBLE PRECISION) AS confidence,
    CAST(ROUND(CAST(usual_confidence AS NUMERIC), 4) AS DOUBLE PRECISION) AS usual_confidence
FROM compared
WHERE
    ABS(confidence - usual_confidence) > 0.02
    AND (confidence - usual_confidence) * (confidence - usual_confidence) > 16 * variance
