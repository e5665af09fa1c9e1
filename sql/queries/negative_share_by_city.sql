-- Where do the most negative reviews come from, by a column that only the imported file had?
-- Here the column is city; put the name of another one (shop, stars, …) between the quotes. It reads the attributes of
-- all labelled reviews, so its time grows with their number. SQLite needs version 3.38.
SELECT
    review_attributes.attributes ->> 'city' AS city,
    COUNT(*) AS reviews,
    SUM(CASE WHEN review_sentiment.label = 0 THEN 1 ELSE 0 END) AS negative,
    ROUND(AVG(CASE WHEN review_sentiment.label = 0 THEN 100.0 ELSE 0.0 END), 1) AS negative_percent
FROM review_sentiment
INNER JOIN review_attributes ON review_sentiment.review_id = review_attributes.review_id
WHERE review_attributes.attributes ->> 'city' IS NOT NULL
GROUP BY review_attributes.attributes ->> 'city'
ORDER BY negative_percent DESC, reviews DESC
LIMIT 20
