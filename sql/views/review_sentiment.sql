-- One row per review that the model in service has labelled. Reviews without a label are not in it.
-- score: the calibrated probability that the review is positive, 0 to 1; with more than two labels, the expected label,
-- scaled so that 0 is the lowest label and 1 the highest. confidence: the calibrated probability that the label is
-- right.
-- stale: the review was edited after it was labelled, and the next run labels it again.
-- carried_over: the model in service has not labelled this review yet, so this is the label of the model that served
-- before it, which model_version names.
-- truncated: the review is longer than the model reads, so only part of it was read. A label whose review was deleted
-- stays here until the review is erased.
SELECT
    published.review_id,
    published.label,
    named.label_name,
    published.score,
    published.confidence,
    COALESCE(published.carried_from, published.model_version) AS model_version,
    published.scored_at,
    COALESCE(review.updated_at <> published.review_updated_at, FALSE) AS stale,
    published.truncated,
    published.local_day,
    published.carried_from IS NOT NULL AS carried_over
FROM review_labels AS published
LEFT JOIN model_labels AS named
    ON named.model_version = COALESCE(published.carried_from, published.model_version) AND named.label = published.label
LEFT JOIN reviews AS review ON review.review_id = published.review_id
WHERE published.model_version = (SELECT service.model_version FROM model_in_service AS service)
