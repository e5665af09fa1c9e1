-- One row per product (NULL: reviews without one): how many reviews, how many of each kind, mean score, its days.
-- positive, negative: reviews of the highest and of the lowest label; of more than two, those between are in neither.
SELECT
    sentiment.product,
    COUNT(*) AS reviews,
    SUM(CASE WHEN sentiment.label = service.highest_label THEN 1 ELSE 0 END) AS positive,
    SUM(CASE WHEN sentiment.label = 0 THEN 1 ELSE 0 END) AS negative,
    CAST(AVG(CASE WHEN sentiment.label = 0 THEN 1.0 ELSE 0.0 END) AS DOUBLE PRECISION) AS negative_share,
    AVG(sentiment.score) AS mean_score,
    MIN(sentiment.local_day) AS first_day,
    MAX(sentiment.local_day) AS last_day
FROM sentiment_latest AS sentiment
CROSS JOIN model_in_service AS service
GROUP BY sentiment.product
