-- Which labels belong to a text that was edited since, and wait for the next run?
-- It compares every label with its review, so its time grows with their number.
SELECT review_id, product, label_name, scored_at
FROM sentiment_latest
WHERE stale
ORDER BY scored_at, review_id
LIMIT 100
