-- What are the newest labelled reviews?
SELECT local_day, product, label_name, ROUND(CAST(confidence AS NUMERIC), 2) AS confidence, review_text
FROM sentiment_latest
ORDER BY created_at DESC, review_id DESC
LIMIT 10
