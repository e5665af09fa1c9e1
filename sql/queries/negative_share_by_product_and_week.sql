-- What share of each product's reviews was negative in each week, with its 95 % confidence interval (Wilson)?
WITH counted AS (
    SELECT
        daily.product,
        calendar.week_start,
        SUM(daily.reviews) AS reviews,
        1.0 * SUM(daily.negative) / SUM(daily.reviews) AS share
    FROM sentiment_daily_by_product AS daily
    INNER JOIN calendar ON calendar.day = daily.local_day
    GROUP BY daily.product, calendar.week_start
),

intervals AS (
    SELECT
        product,
        week_start,
        reviews,
        share,
        (share + 1.9208 / reviews) / (1 + 3.8416 / reviews) AS middle,
        1.96 * SQRT(share * (1 - share) / reviews + 0.9604 / (reviews * reviews)) / (1 + 3.8416 / reviews) AS half_width
    FROM counted
)

SELECT
    product,
    week_start,
    reviews,
    ROUND(CAST(100 * share AS NUMERIC), 1) AS negative_percent,
    ROUND(CAST(100 * (middle - half_width) AS NUMERIC), 1) AS at_least,
    ROUND(CAST(100 * (middle + half_width) AS NUMERIC), 1) AS at_most
FROM intervals
ORDER BY product, week_start
