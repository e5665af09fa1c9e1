-- Passes when it returns no rows: each staged review is in the plan of the run, or was erased after it was planned.
SELECT staged.shard, staged.review_id
FROM staged_labels AS staged
LEFT JOIN run_items AS item
    ON item.run_id = staged.run_id AND item.shard = staged.shard AND item.review_id = staged.review_id
LEFT JOIN erased_reviews AS erased ON erased.review_id = staged.review_id
WHERE staged.run_id = :run_id AND item.review_id IS NULL AND erased.review_id IS NULL
