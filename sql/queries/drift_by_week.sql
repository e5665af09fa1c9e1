-- How do the share of negative reviews and the mean confidence change from week to week?
SELECT
    calendar.week_start,
    SUM(daily.reviews) AS reviews,
    ROUND(CAST(100.0 * SUM(daily.negative) / SUM(daily.reviews) AS NUMERIC), 1) AS negative_percent,
    ROUND(CAST(SUM(daily.mean_confidence * daily.reviews) / SUM(daily.reviews) AS NUMERIC), 3) AS mean_confidence
FROM sentiment_daily AS daily
INNER JOIN calendar ON calendar.day = daily.local_day
GROUP BY calendar.week_start
ORDER BY calendar.week_start
