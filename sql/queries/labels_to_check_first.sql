-- Which ten labels by people are most probably wrong?
SELECT review_id, label, suggested_label, ROUND(CAST(label_probability AS NUMERIC), 3) AS label_probability,
    annotator, review_text
FROM suspect_annotations
ORDER BY label_probability, review_id
LIMIT 10
