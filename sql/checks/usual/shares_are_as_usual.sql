-- Passes when it returns no rows: the share of each label is what the last 28 nights of this model lead one to expect.
-- Unusual is more than 4 standard deviations from their mean (those between nights, and those of a sample of tonight's
-- size) and more than 5 points; before 7 nights there is nothing to compare with. Nights of new reviews only.
WITH tonight AS (
    SELECT staged.label, COUNT(*) AS labels
    FROM staged_labels AS staged
    INNER JOIN scoring_runs AS run ON run.run_id = staged.run_id
    WHERE staged.run_id = :run_id AND run.scope = 'new' AND staged.label IS NOT NULL
    GROUP BY staged.label
),

nights AS (
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
        COUNT(*) AS nights,
        (SUM(COALESCE(summary.labels, 0)) + 1.0) / (SUM(night.labelled) + 2.0) AS share,
        SUM(1.0 * COALESCE(summary.labels, 0) * COALESCE(summary.labels, 0) / night.labelled) / SUM(night.labelled)
        AS mean_square,
        1.0 * SUM(COALESCE(summary.labels, 0)) / SUM(night.labelled) AS mean
    FROM nights AS night
    INNER JOIN model_labels AS known ON known.model_version = night.model_version
    LEFT JOIN run_summaries AS summary ON summary.run_id = night.run_id AND summary.label = known.label
    GROUP BY known.label
),

compared AS (
    SELECT
        usual.label,
        usual.share AS usual_share,
        1.0 * COALESCE(tonight.labels, 0) / total.labels AS share,
        usual.mean_square - usual.mean * usual.mean + usual.share * (1 - usual.share) / total.labels AS variance
    FROM usual
    CROSS JOIN (SELECT SUM(labels) AS labels FROM tonight) AS total
    LEFT JOIN tonight ON tonight.label = usual.label
    WHERE usual.nights >= 7 AND total.labels > 0
)

SELECT
    label,
    CAST(ROUND(CAST(share AS NUMERIC), 3) AS DOUBLE PRECISION) AS share,
    CAST(ROUND(CAST(usual_share AS NUMERIC), 3) AS DOUBLE PRECISION) AS usual_share
FROM compared
WHERE ABS(share - usual_share) > 0.05 AND (share - usual_share) * (share - usual_share) > 16 * variance
