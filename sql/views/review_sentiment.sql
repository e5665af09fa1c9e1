-- One row per review that the model in service has labelled.
-- score: calibrated probability that the review is positive (of more than two labels: the label to be expected, from
-- 0, the lowest, to 1, the highest); confidence: that its label is right.
-- stale: the review was edited since, and the label is of its former text until the next run.
-- truncated: the review was longer than the model reads.
SELECT
    published.review_id,
    published.label,
    named.label_name,
    published.score,
    published.confidence,
    published.model_version,
    published.scored_at,
    COALESCE(review.updated_at <> published.review_updated_at, FALSE) AS stale,
    published.truncated,
    published.local_day
FROM review_labels AS published
INNER JOIN model_in_service AS service ON service.model_version = published.model_version
LEFT JOIN model_labels AS named ON named.model_version = published.model_version AND named.label = published.label
LEFT JOIN reviews AS review ON review.review_id = published.review_id
