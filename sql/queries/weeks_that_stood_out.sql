-- In which weeks was the share of negative reviews of a product far from the share in its other weeks?
-- Far is a z above 3 or below -3: by chance, one week in 370 is as far. Weeks with fewer than 10 reviews are left out.
-- The share of the week has its 95 % confidence interval (Wilson).
WITH weeks AS (
    SELECT
        daily.product,
        calendar.week_start,
        1.0 * SUM(daily.reviews) AS reviews,
        1.0 * SUM(daily.negative) AS negative
    FROM sentiment_daily_by_product AS daily
    INNER JOIN calendar ON calendar.day = daily.local_day
    GROUP BY daily.product, calendar.week_start
),

totals AS (
    SELECT
        product,
        SUM(reviews) AS reviews,
        SUM(negative) AS negative
    FROM weeks
    GROUP BY product
),

compared AS (
    SELECT
        weeks.product,
        weeks.week_start,
        weeks.reviews,
        totals.reviews - weeks.reviews AS reviews_otherwise,
        weeks.negative / weeks.reviews AS share,
        (totals.negative - weeks.negative) / (totals.reviews - weeks.reviews) AS share_otherwise,
        (totals.negative + 1) / (totals.reviews + 2) AS pooled
    FROM weeks
    INNER JOIN totals ON totals.product = weeks.product
    WHERE weeks.reviews >= 10 AND totals.reviews - weeks.reviews >= 10
),

tested AS (
    SELECT
        product,
        week_start,
        reviews,
        share,
        share_otherwise,
        (share - share_otherwise) / SQRT(pooled * (1 - pooled) * (1 / reviews + 1 / reviews_otherwise)) AS z,
        (share + 1.9208 / reviews) / (1 + 3.8416 / reviews) AS middle,
        1.96 * SQRT(share * (1 - share) / reviews + 0.9604 / (reviews * reviews)) / (1 + 3.8416 / reviews) AS half_width
    FROM compared
)

SELECT
    product,
    week_start,
    CAST(reviews AS INTEGER) AS reviews,
    ROUND(CAST(100 * share AS NUMERIC), 1) AS negative_percent,
    ROUND(CAST(100 * (middle - half_width) AS NUMERIC), 1) AS at_least,
    ROUND(CAST(100 * (middle + half_width) AS NUMERIC), 1) AS at_most,
    ROUND(CAST(100 * share_otherwise AS NUMERIC), 1) AS otherwise_percent
FROM tested
WHERE ABS(z) > 3
ORDER BY product, week_start
LIMIT 20
