-- One row per review whose label the model itself holds for less than 70 % likely: the ones worth a person's look.
-- Order by confidence to see the least certain first.
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
