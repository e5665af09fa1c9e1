-- Which negative reviews is the model most certain of?
-- It reads the texts of ten reviews, which an index of the negative labels finds.
SELECT review_id, product, ROUND(CAST(confidence AS NUMERIC), 3) AS confidence, review_text
FROM sentiment_latest
WHERE label = 0
ORDER BY sentiment_latest.confidence DESC, review_id
LIMIT 10
