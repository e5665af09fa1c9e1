-- Passes when it returns no rows: nothing was staged that the frozen plan does not hold, but what was forgotten since.
SELECT staged.shard, staged.review_id
FROM staged_labels AS staged
LEFT JOIN run_items AS item
    ON item.run_id = staged.run_id AND item.shard = staged.shard AND item.review_id = staged.review_id
LEFT JOIN forgotten_reviews AS forgotten ON forgotten.review_id = staged.review_id
WHERE staged.run_id = :run_id AND item.review_id IS NULL AND forgotten.review_id IS NULL
