-- Passes when it returns no rows: each planned review has a label or an error, or was superseded (edited or gone since).
SELECT item.shard, item.review_id
FROM run_items AS item
LEFT JOIN staged_labels AS staged ON staged.run_id = item.run_id AND staged.review_id = item.review_id
INNER JOIN reviews AS review ON review.review_id = item.review_id AND review.updated_at = item.review_updated_at
WHERE item.run_id = :run_id AND staged.review_id IS NULL
