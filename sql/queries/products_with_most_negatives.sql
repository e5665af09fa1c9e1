-- Which products have the largest share of negative reviews?
SELECT product, reviews, negative, ROUND(CAST(100 * negative_share AS NUMERIC), 1) AS negative_percent
FROM sentiment_by_product
WHERE reviews >= 10
ORDER BY negative_share DESC, product
LIMIT 10
