-- One row per trained model: its base model and corpus, its figures on the test split of that corpus, the gate's
-- verdict, and whether it is in service. champion_accuracy, anchor_accuracy and baseline_accuracy are those of the
-- champion of that time, the anchor and the TF-IDF baseline, on the same rows. new_labels, new_label_accuracy and
-- new_label_alarm come from the newest check of the model as champion, on labels that arrived after its corpus
-- snapshot; they are NULL before there are such labels. Encoders made by senti pretrain are not in it.
SELECT
    model.version AS model_version,
    model.base_model,
    model.corpus,
    model.trained_at,
    CAST(MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'rows') AS INTEGER)
    AS test_rows,
    MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'accuracy') AS accuracy,
    MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'macro_f1') AS macro_f1,
    MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'roc_auc') AS roc_auc,
    MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'log_loss') AS log_loss,
    MAX(metric.value) FILTER (WHERE metric.subject = 'champion' AND metric.metric = 'accuracy') AS champion_accuracy,
    MAX(metric.value) FILTER (WHERE metric.subject = 'baseline' AND metric.metric = 'accuracy') AS baseline_accuracy,
    model.verdict,
    COALESCE(model.version = service.model_version, FALSE) AS in_service,
    MAX(metric.value) FILTER (WHERE metric.subject = 'anchor' AND metric.metric = 'accuracy') AS anchor_accuracy,
    MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'ece') AS ece,
    MAX(metric.value) FILTER (WHERE metric.subject = 'candidate' AND metric.metric = 'brier') AS brier,
    newest.rows AS new_labels,
    newest.accuracy AS new_label_accuracy,
    newest.alarm AS new_label_alarm
FROM models AS model
LEFT JOIN model_metrics AS metric ON metric.model_version = model.version AND metric.split = 'test'
LEFT JOIN model_in_service AS service ON service.model_version = model.version
LEFT JOIN champion_checks AS newest
    ON
        newest.model_version = model.version
        AND newest.rows > 0
        AND newest.checked_at = (
            SELECT MAX(earlier.checked_at)
            FROM champion_checks AS earlier
            WHERE earlier.model_version = model.version AND earlier.rows > 0
        )
GROUP BY
    model.version, model.base_model, model.corpus, model.trained_at, model.verdict, service.model_version,
    newest.rows, newest.accuracy, newest.alarm
