-- How many labels did the new model change, and in which direction?
-- It reads the labels of two models of all reviews, so its time grows with their number.
SELECT
    old_model_version,
    new_model_version,
    old_label_name,
    new_label_name,
    COUNT(*) AS reviews,
    ROUND(CAST(AVG(new_score - old_score) AS NUMERIC), 3) AS mean_change_of_score
FROM sentiment_changes
WHERE changed AND same_text
GROUP BY old_model_version, new_model_version, old_label_name, new_label_name
ORDER BY reviews DESC, old_label_name, new_label_name
