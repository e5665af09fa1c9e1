-- Which negative reviews of the newest day (not later than today) is the model most certain of?
SELECT review_id, product, ROUND(CAST(confidence AS NUMERIC), 3) AS confidence, review_text
FROM sentiment_latest
WHERE label = 0 AND local_day = (SELECT MAX(local_day) FROM sentiment_daily WHERE local_day <= CURRENT_DATE)
ORDER BY confidence DESC, review_id
LIMIT 10
