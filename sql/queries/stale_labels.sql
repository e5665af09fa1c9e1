-- Which labels belong to a text that was edited since, and wait for the next run?
SELECT review_id, product, label_name, scored_at
FROM sentiment_latest
WHERE stale
ORDER BY scored_at, review_id
LIMIT 100
