-- One row per day on which reviews were written (a day of SENTI_TIMEZONE): how many, how many of each kind, mean score.
SELECT
    local_day,
    COUNT(*) AS reviews,
    SUM(CASE WHEN label_name = 'positive' THEN 1 ELSE 0 END) AS positive,
    SUM(CASE WHEN label_name = 'negative' THEN 1 ELSE 0 END) AS negative,
    CAST(AVG(CASE WHEN label_name = 'negative' THEN 1.0 ELSE 0.0 END) AS DOUBLE PRECISION) AS negative_share,
    AVG(score) AS mean_score
FROM review_sentiment
GROUP BY local_day
