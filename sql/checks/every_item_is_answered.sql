-- Passes when it returns no rows: each planned review has a label or an error, or was superseded (edited or gone since).
-- EXCEPT, since staged_labels has no index: without statistics both databases would make a join of it a nested loop.
-- COALESCE keeps the index of updated_at out of it: an import gives all of its rows one time.
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
