-- One row per day (in SENTI_TIMEZONE) on which labelled reviews were written: how many there are, how many of them are
-- positive and negative, and their mean score and confidence. Days without labelled reviews have no row. positive and
-- negative count the highest and the lowest label; labels in between count in neither. Reviews that were deleted at the
-- source are counted until they are erased.
SELECT
    rollup.local_day,
    CAST(SUM(rollup.reviews) AS BIGINT) AS reviews,
    CAST(
        SUM(
            CASE
                WHEN rollup.label = (SELECT service.highest_label FROM model_in_service AS service) THEN rollup.reviews
                ELSE 0
            END
        ) AS BIGINT
    ) AS positive,
    CAST(SUM(CASE WHEN rollup.label = 0 THEN rollup.reviews ELSE 0 END) AS BIGINT) AS negative,
    CAST(
        SUM(CASE WHEN rollup.label = 0 THEN 1.0 * rollup.reviews ELSE 0.0 END) / SUM(rollup.reviews) AS DOUBLE PRECISION
    ) AS negative_share,
    SUM(rollup.score_sum) / SUM(rollup.reviews) AS mean_score,
    SUM(rollup.confidence_sum) / SUM(rollup.reviews) AS mean_confidence
FROM label_rollups AS rollup
WHERE rollup.model_version = (SELECT service.model_version FROM model_in_service AS service)
GROUP BY rollup.local_day
HAVING SUM(rollup.reviews) > 0
