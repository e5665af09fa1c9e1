-- One row per label that a person gave and that is probably wrong: a model trained on other reviews predicts another
-- label. label_probability is the probability that this model gives the person's label: order by it to see the most
-- suspect labels first. Only the newest corpus with such labels is shown. Labels that a person has given again since,
-- and reviews that were edited or deleted since, are not in it. Label names are those of the model in service; they are
-- NULL before there is one.
SELECT
    suspect.review_id,
    review.product,
    review.review_text,
    suspect.label,
    named.label_name,
    suspect.suggested_label,
    suggested.label_name AS suggested_label_name,
    suspect.label_probability,
    suspect.suggested_probability,
    annotation.annotator,
    annotation.annotated_at,
    suspect.corpus
FROM annotation_suspects AS suspect
INNER JOIN corpora AS snapshot ON snapshot.corpus = suspect.corpus
INNER JOIN reviews AS review ON review.review_id = suspect.review_id
INNER JOIN review_annotations AS annotation
    ON annotation.review_id = suspect.review_id AND annotation.label = suspect.label
LEFT JOIN model_in_service AS service ON TRUE
LEFT JOIN model_labels AS named ON named.model_version = service.model_version AND named.label = suspect.label
LEFT JOIN model_labels AS suggested
    ON suggested.model_version = service.model_version AND suggested.label = suspect.suggested_label
WHERE
    suspect.corpus = (
        SELECT newest.corpus
        FROM corpora AS newest
        WHERE EXISTS (SELECT 1 FROM annotation_suspects AS known WHERE known.corpus = newest.corpus)
        ORDER BY newest.created_at DESC, newest.corpus DESC
        LIMIT 1
    )
    AND NOT COALESCE(review.updated_at > snapshot.due, FALSE)
    AND annotation.annotated_at <= snapshot.due  -- a label given after the snapshot was checked by a person
    AND NOT EXISTS (
        SELECT 1
        FROM review_annotations AS newer
        WHERE
            newer.review_id = annotation.review_id
            AND (
                newer.annotated_at > annotation.annotated_at
                OR (newer.annotated_at = annotation.annotated_at AND newer.annotator < annotation.annotator)
            )
    )
