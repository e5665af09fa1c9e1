-- One row per review that both the model in service and the model that served before it have labelled, with both
-- labels.
-- changed: the two labels differ. same_text: both models read the same text. There are no rows before a second model
-- has served, or after the labels of the earlier model were dropped (SENTI_KEEP_MODELS).
SELECT
    new.review_id,
    old.model_version AS old_model_version,
    new.model_version AS new_model_version,
    old.label AS old_label,
    new.label AS new_label,
    old_name.label_name AS old_label_name,
    new_name.label_name AS new_label_name,
    old.score AS old_score,
    new.score AS new_score,
    old.label <> new.label AS changed,
    old.text_hash = new.text_hash AS same_text,
    new.local_day
FROM review_labels AS new
INNER JOIN review_labels AS old ON old.review_id = new.review_id
LEFT JOIN model_labels AS old_name ON old_name.model_version = old.model_version AND old_name.label = old.label
LEFT JOIN model_labels AS new_name ON new_name.model_version = new.model_version AND new_name.label = new.label
WHERE
    new.carried_from IS NULL
    AND old.carried_from IS NULL
    AND new.model_version = (SELECT service.model_version FROM model_in_service AS service)
    AND old.model_version = (
        SELECT earlier.model_version
        FROM promotions AS earlier
        WHERE
            earlier.serving_since IS NOT NULL
            AND earlier.model_version <> (SELECT service.model_version FROM model_in_service AS service)
        ORDER BY earlier.seq DESC
        LIMIT 1
    )
