-- Where do the most negative reviews come from, by a column that only the imported file had?
-- Here the column is city; put the name of another one (shop, stars, …) between the quotes. Columns that senti does not
-- know are in reviews.attributes. It reads the rows of all labelled reviews. SQLite needs version 3.38. A team's own
-- table may have a column attributes (JSON); without one, the answer is empty.
SELECT
    reviews.attributes ->> 'city' AS city,
    COUNT(*) AS reviews,
    SUM(CASE WHEN review_sentiment.label = 0 THEN 1 ELSE 0 END) AS negative,
    ROUND(AVG(CASE WHEN review_sentiment.label = 0 THEN 100.0 ELSE 0.0 END), 1) AS negative_percent
FROM review_sentiment
INNER JOIN reviews ON review_sentiment.review_id = reviews.review_id
WHERE reviews.attributes ->> 'city' IS NOT NULL
GROUP BY reviews.attributes ->> 'city'
ORDER BY negative_percent DESC, reviews DESC
LIMIT 20
