-- One row per review that a person has labelled too, for the very text that the model in service read: both labels, and
-- whether they agree. The newest such annotation counts. Reviews that the model was trained on are among them: see
-- champion_checks and model_scorecard for honest figures.
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
INNER JOIN model_in_service AS service ON service.model_version = published.model_version
INNER JOIN review_annotations AS annotation
    ON annotation.review_id = published.review_id AND annotation.text_hash = published.text_hash
WHERE
    NOT EXISTS (
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
