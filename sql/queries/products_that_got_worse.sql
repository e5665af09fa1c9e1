-- Which products got worse: more negatives in the last 28 days than in the 28 before, beyond chance (z above 1.64)?
WITH dated AS (
    SELECT
        sentiment.product,
        sentiment.label,
        calendar.day_number,
        (
            SELECT MAX(newest.day_number)
            FROM sentiment_daily AS daily
            INNER JOIN calendar AS newest ON newest.day = daily.local_day
            WHERE daily.local_day <= CURRENT_DATE -- one review dated in the future would empty the window
        ) AS today
    FROM sentiment_latest AS sentiment
    INNER JOIN calendar ON calendar.day = sentiment.local_day
),

counted AS (
    SELECT
        product,
        1.0 * SUM(CASE WHEN day_number > today - 28 THEN 1 ELSE 0 END) AS reviews,
        1.0 * SUM(CASE WHEN day_number <= today - 28 THEN 1 ELSE 0 END) AS reviews_before,
        1.0 * SUM(CASE WHEN day_number > today - 28 AND label = 0 THEN 1 ELSE 0 END) AS negative,
        1.0 * SUM(CASE WHEN day_number <= today - 28 AND label = 0 THEN 1 ELSE 0 END) AS negative_before
    FROM dated
    WHERE day_number > today - 56 AND day_number <= today
    GROUP BY product
),

compared AS (
    SELECT
        product,
        reviews,
        reviews_before,
        negative / reviews AS share,
        negative_before / reviews_before AS share_before,
        (negative + negative_before + 1) / (reviews + reviews_before + 2) AS pooled
    FROM counted
    WHERE reviews >= 10 AND reviews_before >= 10
)

SELECT
    product,
    ROUND(CAST(100 * share_before AS NUMERIC), 1) AS negative_percent_before,
    ROUND(CAST(100 * share AS NUMERIC), 1) AS negative_percent,
    ROUND(
        CAST((share - share_before) / SQRT(pooled * (1 - pooled) * (1 / reviews + 1 / reviews_before)) AS NUMERIC), 2
    ) AS z
FROM compared
WHERE (share - share_before) / SQRT(pooled * (1 - pooled) * (1 / reviews + 1 / reviews_before)) > 1.64
ORDER BY z DESC, product
