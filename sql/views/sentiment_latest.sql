-- One row per labelled review that still exists: its text, product and time of writing beside its label. Reviews
-- without a label are not in it. product and local_day are those that the review had when it was labelled: conditions on
-- them use an index, as those on review_id do; conditions on created_at use none. carried_over: as in
-- review_sentiment.
SELECT
    review.review_id,
    numbered.product,
    review.created_at,
    review.review_text,
    published.label,
    named.label_name,
    published.score,
    published.confidence,
    COALESCE(published.carried_from, published.model_version) AS model_version,
    published.scored_at,
    COALESCE(review.updated_at <> published.review_updated_at, FALSE) AS stale,
    published.local_day,
    published.carried_from IS NOT NULL AS carried_over
FROM review_labels AS published
INNER JOIN products AS numbered ON numbered.product_id = published.product_id
INNER JOIN reviews AS review ON review.review_id = published.review_id
LEFT JOIN model_labels AS named
    ON named.model_version = COALESCE(published.carried_from, published.model_version) AND named.label = published.label
WHERE published.model_version = (SELECT service.model_version FROM model_in_service AS service)
