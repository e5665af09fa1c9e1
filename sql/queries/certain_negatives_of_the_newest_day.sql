-- Which negative reviews of the newest day (not later than today) is the model most certain of?
-- It reads the texts of the negative reviews of that day, which an index finds.
SELECT review_id, product, ROUND(CAST(confidence AS NUMERIC), 3) AS confidence, review_text
FROM sentiment_latest
WHERE label = 0 AND local_day = (SELECT MAX(local_day) FROM sentiment_daily WHERE local_day <= CURRENT_DATE)
ORDER BY sentiment_latest.confidence DESC, review_id
LIMIT 10
