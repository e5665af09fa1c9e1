-- Passes when it returns no rows: each review has at most one staged label or error in the run.
SELECT review_id, COUNT(*) AS answers
FROM staged_labels
WHERE run_id = :run_id
GROUP BY review_id
HAVING COUNT(*) > 1
