-- Passes when it returns no rows: score and confidence of each staged label are between 0 and 1. NULL and NaN fail.
SELECT review_id, score, confidence
FROM staged_labels
WHERE
    run_id = :run_id AND label IS NOT NULL
    AND NOT COALESCE(score BETWEEN 0 AND 1 AND confidence BETWEEN 0 AND 1, FALSE)
