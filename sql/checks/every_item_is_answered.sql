-- Passes when it returns no rows: each planned review has a staged label or error, or was edited, deleted or erased
-- after it was planned.
-- EXCEPT is faster than a join here: staged_labels has no index, and without statistics both databases would choose a
-- nested loop. COALESCE keeps the index of updated_at from being used: an import gives all its reviews one updated_at.
SELECT item.shard, item.review_id
FROM run_items AS item
INNER JOIN reviews AS review ON review.review_id = item.review_id
WHERE
    item.run_id = :run_id
    AND COALESCE(review.updated_at = item.review_updated_at, FALSE)
    AND NOT EXISTS (SELECT 1 FROM erased_reviews AS erased WHERE erased.review_id = item.review_id)
EXCEPT
SELECT shard, review_id
FROM staged_labels
WHERE run_id = :run_id
