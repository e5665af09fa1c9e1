-- Passes when it returns no rows: each planned review has a label or an error, or was superseded (edited or gone since).
-- EXCEPT, since staged_labels has no index: without statistics both databases would make a join of it a nested loop.
SELECT item.shard, item.review_id
FROM run_items AS item
INNER JOIN reviews AS review ON review.review_id = item.review_id AND review.updated_at = item.review_updated_at
WHERE item.run_id = :run_id
EXCEPT
SELECT shard, review_id
FROM staged_labels
WHERE run_id = :run_id
