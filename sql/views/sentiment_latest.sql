-- One row per labelled review that still exists: its text, product and time of writing beside its label. Reviews
-- without a label are not in it. carried_over: as in review_sentiment.
SELECT
    review.review_id,
    review.product,
    review.created_at,
    review.review_text,
    sentiment.label,
    sentiment.label_name,
    sentiment.score,
    sentiment.confidence,
    sentiment.model_version,
    sentiment.scored_at,
    sentiment.stale,
    sentiment.local_day,
    sentiment.carried_over
FROM review_sentiment AS sentiment
INNER JOIN reviews AS review ON review.review_id = sentiment.review_id
