-- How many reviews per second did the nightly runs label, from opening to publication, by model and variant?
SELECT
    model_version,
    variant,
    COUNT(*) AS runs,
    SUM(labelled) AS labelled,
    ROUND(CAST(AVG(1.0 * labelled / seconds) AS NUMERIC), 1) AS reviews_per_second,
    ROUND(CAST(MAX(seconds) AS NUMERIC), 1) AS longest_seconds
FROM scoring_health
WHERE scope = 'new' AND state = 'published' AND labelled > 0 AND seconds > 0
GROUP BY model_version, variant
ORDER BY model_version, variant
