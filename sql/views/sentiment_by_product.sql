-- One row per product, and one with NULL for the reviews without a product: counts of labelled reviews, mean score,
-- first and last day. positive and negative count the highest and the lowest label; labels in between count in neither.
-- A review counts for the product that it had when it was labelled. Reviews that have no label are not counted; those
-- that were deleted at the source are counted until they are erased.
SELECT
    numbered.product,
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
    MIN(CASE WHEN rollup.reviews > 0 THEN rollup.local_day END) AS first_day,
    MAX(CASE WHEN rollup.reviews > 0 THEN rollup.local_day END) AS last_day
FROM product_rollups AS rollup
INNER JOIN products AS numbered ON numbered.product_id = rollup.product_id
WHERE rollup.model_version = (SELECT service.model_version FROM model_in_service AS service)
GROUP BY numbered.product_id, numbered.product
HAVING SUM(rollup.reviews) > 0
