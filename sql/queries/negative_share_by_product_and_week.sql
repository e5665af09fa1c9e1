-- What share of each product's reviews was negative, week by week, and how sure is that (95 % Wilson interval)?
WITH counted AS (
    SELECT
        sentiment.product,
        calendar.week_start,
        COUNT(*) AS reviews,
        1.0 * SUM(CASE WHEN sentiment.label = 0 THEN 1 ELSE 0 END) / COUNT(*) AS share
    FROM sentiment_latest AS sentiment
    INNER JOIN calendar ON calendar.day = sentiment.local_day
    GROUP BY sentiment.product, calendar.week_start
)

SELECT
    product,
    week_start,
    reviews,
    ROUND(CAST(100 * share AS NUMERIC), 1) AS negative_percent,
    ROUND(CAST(100 * (
        share + 1.9208 / reviews - 1.96 * SQRT(share * (1 - share) / reviews + 0.9604 / (reviews * reviews))
    ) / (1 + 3.8416 / reviews) AS NUMERIC), 1) AS at_least,
    ROUND(CAST(100 * (
        share + 1.9208 / reviews + 1.96 * SQRT(share * (1 - share) / reviews + 0.9604 / (reviews * reviews))
    ) / (1 + 3.8416 / reviews) AS NUMERIC), 1) AS at_most
FROM counted
ORDER BY product, week_start
