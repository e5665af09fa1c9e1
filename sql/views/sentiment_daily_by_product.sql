-- One row per product and day (in SENTI_TIMEZONE) on which labelled reviews of it were written, with the columns of
-- sentiment_daily. The product is NULL for reviews without one. A review counts for the product that it had when it was
-- labelled.
SELECT
    numbered.product,
    rollup.local_day,
    rollup.reviews,
    rollup.positive,
    rollup.negative,
    CAST(rollup.negative AS DOUBLE PRECISION) / rollup.reviews AS negative_share,
    rollup.score_sum / rollup.reviews AS mean_score,
    rollup.confidence_sum / rollup.reviews AS mean_confidence
FROM product_rollups AS rollup
INNER JOIN products AS numbered ON numbered.product_id = rollup.product_id
WHERE rollup.model_version = (SELECT service.model_version FROM model_in_service AS service) AND rollup.reviews > 0
