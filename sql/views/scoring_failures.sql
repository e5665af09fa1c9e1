-- One row per review whose present text the model in service could not label, with the reason. A run tries again when
-- the text changes, and every new model tries again. Deleted reviews are not in it, nor are failures on an earlier
-- text.
SELECT
    failed.review_id,
    review.product,
    failed.reason,
    failed.failed_at,
    failed.run_id,
    failed.model_version
FROM scoring_errors AS failed
INNER JOIN reviews AS review
    ON review.review_id = failed.review_id AND review.updated_at = failed.review_updated_at
WHERE failed.model_version = (SELECT service.model_version FROM model_in_service AS service)
