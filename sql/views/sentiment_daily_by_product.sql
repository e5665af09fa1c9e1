-- One row per product and day (in SENTI_TIMEZONE) on which labelled reviews of it were written, with the columns of
-- sentiment_daily. The product is NULL for reviews without one.
SELECT
    numbered.product,
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
FROM product_rollups AS rollup
INNER JOIN products AS numbered ON numbered.product_id = rollup.product_id
WHERE rollup.model_version = (SELECT service.model_version FROM model_in_service AS service)
GROUP BY numbered.product_id, numbered.product, rollup.local_day
HAVING SUM(rollup.reviews) > 0
