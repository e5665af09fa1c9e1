-- What are the newest labelled reviews?
-- It reads the texts of the newest day. In order of the day first, an index finds them.
SELECT local_day, product, label_name, ROUND(CAST(confidence AS NUMERIC), 2) AS confidence, review_text
FROM sentiment_latest
ORDER BY local_day DESC, created_at DESC, review_id DESC
LIMIT 10
