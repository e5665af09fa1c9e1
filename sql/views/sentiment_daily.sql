-- One row per day on which reviews were written (a day of SENTI_TIMEZONE): how many, how many of each kind, mean score.
-- positive, negative: reviews of the highest and of the lowest label; of more than two, those between are in neither.
SELECT
    sentiment.local_day,
    COUNT(*) AS reviews,
    SUM(CASE WHEN sentiment.label = service.highest_label THEN 1 ELSE 0 END) AS positive,
    SUM(CASE WHEN sentiment.label = 0 THEN 1 ELSE 0 END) AS negative,
    CAST(AVG(CASE WHEN sentiment.label = 0 THEN 1.0 ELSE 0.0 END) AS DOUBLE PRECISION) AS negative_share,
    AVG(sentiment.score) AS mean_score
FROM review_sentiment AS sentiment
CROSS JOIN model_in_service AS service
GROUP BY sentiment.local_day
