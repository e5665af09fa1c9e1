-- How often does the model's label equal the person's, by the month in which the review was written?
-- It reads every label by a person with the model's label, so its time grows with their number.
SELECT
    calendar.month,
    COUNT(*) AS reviews,
    ROUND(CAST(100.0 * COUNT(*) FILTER (WHERE checked.agrees) / COUNT(*) AS NUMERIC), 1) AS agreement_percent
FROM sentiment_checked AS checked
INNER JOIN calendar ON calendar.day = checked.local_day
GROUP BY calendar.month
ORDER BY calendar.month
