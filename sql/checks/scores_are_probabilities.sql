-- Passes when it returns no rows: score and confidence of each label lie in [0, 1] (a NaN does not).
SELECT review_id, score, confidence
FROM staged_labels
WHERE
    run_id = :run_id AND label IS NOT NULL
    AND NOT COALESCE(score BETWEEN 0 AND 1 AND confidence BETWEEN 0 AND 1, FALSE)
