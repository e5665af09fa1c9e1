-- One row per product, and one with NULL for the reviews without a product: counts of labelled reviews, mean score,
-- first and last day. positive and negative count the highest and the lowest label; labels in between count in neither.
-- Reviews that have no label or were deleted are not counted.
SELECT
    sentiment.product,
    COUNT(*) AS reviews,
    COUNT(*) FILTER (WHERE sentiment.label = service.highest_label) AS positive,
    COUNT(*) FILTER (WHERE sentiment.label = 0) AS negative,
    CAST(AVG(CASE WHEN sentiment.label = 0 THEN 1.0 ELSE 0.0 END) AS DOUBLE PRECISION) AS negative_share,
    AVG(sentiment.score) AS mean_score,
    MIN(sentiment.local_day) AS first_day,
    MAX(sentiment.local_day) AS last_day
FROM sentiment_latest AS sentiment
CROSS JOIN model_in_service AS service
GROUP BY sentiment.product
