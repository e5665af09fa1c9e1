-- One row per product, and one with NULL for the reviews without a product: counts of labelled reviews, mean score,
-- first and last day. positive and negative count the highest and the lowest label; labels in between count in neither.
-- A review counts for the product that it had when it was labelled. Reviews that have no label are not counted; those
-- that were deleted at the source are counted until they are erased.
SELECT
    numbered.product,
    CAST(SUM(rollup.reviews) AS BIGINT) AS reviews,
    CAST(SUM(rollup.positive) AS BIGINT) AS positive,
    CAST(SUM(rollup.negative) AS BIGINT) AS negative,
    CAST(SUM(rollup.negative) AS DOUBLE PRECISION) / SUM(rollup.reviews) AS negative_share,
    SUM(rollup.score_sum) / SUM(rollup.reviews) AS mean_score,
    MIN(rollup.local_day) AS first_day,
    MAX(rollup.local_day) AS last_day
FROM product_rollups AS rollup
INNER JOIN products AS numbered ON numbered.product_id = rollup.product_id
WHERE rollup.model_version = (SELECT service.model_version FROM model_in_service AS service) AND rollup.reviews > 0
GROUP BY numbered.product_id, numbered.product
