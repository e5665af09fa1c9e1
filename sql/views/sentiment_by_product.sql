-- One row per product (NULL: reviews without one): how many reviews, how many of each kind, mean score, its days.
SELECT
    product,
    COUNT(*) AS reviews,
    SUM(CASE WHEN label_name = 'positive' THEN 1 ELSE 0 END) AS positive,
    SUM(CASE WHEN label_name = 'negative' THEN 1 ELSE 0 END) AS negative,
    CAST(AVG(CASE WHEN label_name = 'negative' THEN 1.0 ELSE 0.0 END) AS DOUBLE PRECISION) AS negative_share,
    AVG(score) AS mean_score,
    MIN(local_day) AS first_day,
    MAX(local_day) AS last_day
FROM sentiment_latest
GROUP BY product
