-- One row per review that a person has labelled on the same text as the model in service: both labels, and whether they
-- agree. If people gave that text several labels, the newest one counts. Some of these reviews were used to train the
-- model, so the share that agrees is too high as a measure of quality: use model_scorecard for that. A question about all
-- of it reads every label by a person, so its time grows with their number.
SELECT
    published.review_id,
    published.label,
    annotation.label AS person_label,
    published.label = annotation.label AS agrees,
    published.confidence,
    annotation.annotator,
    annotation.annotated_at,
    published.local_day,
    published.model_version
FROM review_labels AS published
INNER JOIN review_annotations AS annotation
    ON annotation.review_id = published.review_id AND annotation.text_hash = published.text_hash
WHERE
    published.model_version = (SELECT service.model_version FROM model_in_service AS service)
    AND published.carried_from IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM review_annotations AS newer
        WHERE
            newer.review_id = annotation.review_id
            AND newer.text_hash = annotation.text_hash
            AND (
                newer.annotated_at > annotation.annotated_at
                OR (newer.annotated_at = annotation.annotated_at AND newer.annotator < annotation.annotator)
            )
    )
