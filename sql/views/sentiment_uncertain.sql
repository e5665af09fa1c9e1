-- One row per existing review whose label has a confidence below 0.7. A person should check these labels first: order
-- by confidence to see the least certain ones at the top.
SELECT
    review_id,
    product,
    review_text,
    label_name,
    score,
    confidence,
    model_version,
    local_day
FROM sentiment_latest
WHERE confidence < 0.7
