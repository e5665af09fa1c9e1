-- Which products had a significantly larger share of negative reviews in the last 28 days than in the 28 days before?
-- Significant is a z above 1.64 (one-sided, 5 %). Products with fewer than 10 reviews in either period are left out.
WITH newest AS (
    SELECT MAX(local_day) AS day
    FROM sentiment_daily
    WHERE local_day <= CURRENT_DATE -- without this, one review dated in the future would move the 28 days there
),

since AS (
    SELECT
        MIN(calendar.day) AS first_day,
        MIN(CASE WHEN calendar.day_number > newest_day.day_number - 28 THEN calendar.day END) AS first_recent_day
    FROM calendar
    INNER JOIN newest ON calendar.day <= newest.day
    INNER JOIN calendar AS newest_day ON newest_day.day = newest.day
    WHERE calendar.day_number > newest_day.day_number - 56
),

dated AS (
    SELECT
        product,
        reviews,
        negative,
        local_day >= (SELECT first_recent_day FROM since) AS is_recent
    FROM sentiment_daily_by_product
    WHERE local_day >= (SELECT first_day FROM since) AND local_day <= (SELECT day FROM newest)
),

counted AS (
    SELECT
        product,
        1.0 * SUM(CASE WHEN is_recent THEN reviews ELSE 0 END) AS reviews,
        1.0 * SUM(CASE WHEN is_recent THEN 0 ELSE reviews END) AS reviews_before,
        1.0 * SUM(CASE WHEN is_recent THEN negative ELSE 0 END) AS negative,
        1.0 * SUM(CASE WHEN is_recent THEN 0 ELSE negative END) AS negative_before
    FROM dated
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
),

tested AS (
    SELECT
        product,
        share,
        share_before,
        (share - share_before) / SQRT(pooled * (1 - pooled) * (1 / reviews + 1 / reviews_before)) AS z
    FROM compared
)

SELECT
    product,
    ROUND(CAST(100 * share_before AS NUMERIC), 1) AS negative_percent_before,
    ROUND(CAST(100 * share AS NUMERIC), 1) AS negative_percent,
    ROUND(CAST(z AS NUMERIC), 2) AS z
FROM tested
WHERE z > 1.64
ORDER BY z DESC, product
