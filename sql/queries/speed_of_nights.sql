-- How fast were the nights: reviews per second from opening to publication, by model and form?
SELECT
    model_version,
    form,
    COUNT(*) AS nights,
    SUM(labelled) AS labelled,
    ROUND(CAST(AVG(1.0 * labelled / seconds) AS NUMERIC), 1) AS reviews_per_second,
    ROUND(CAST(MAX(seconds) AS NUMERIC), 1) AS longest_seconds
FROM scoring_health
WHERE scope = 'new' AND state = 'published' AND labelled > 0 AND seconds > 0
GROUP BY model_version, form
ORDER BY model_version, form
