-- Which products had a significantly larger share of negative reviews in the last 28 days than in the 28 days before?
-- Significant is a z above 1.64 (one-sided, 5 %). Products with fewer than 10 reviews in either period are left out.
WITH last_day AS (
    SELECT MAX(calendar.day_number) AS day_number
    FROM sentiment_daily AS daily
    INNER JOIN calendar ON calendar.day = daily.local_day
    WHERE daily.local_day <= CURRENT_DATE -- without this, one review dated in the future would move the 28 days there
),

dated AS (
    SELECT
        daily.product,
        daily.reviews,
        daily.negative,
        calendar.day_number > last_day.day_number - 28 AS is_recent
    FROM sentiment_daily_by_product AS daily
    INNER JOIN calendar ON calendar.day = daily.local_day
    INNER JOIN last_day
        ON calendar.day_number > last_day.day_number - 56 AND calendar.day_number <= last_day.day_number
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
