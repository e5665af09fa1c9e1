-- Which labels by people are probably wrong, and should be looked at first?
SELECT review_id, label, suggested_label, ROUND(CAST(label_probability AS NUMERIC), 3) AS label_probability,
    annotator, review_text
FROM suspect_annotations
ORDER BY label_probability, review_id
LIMIT 10
