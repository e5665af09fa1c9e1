-- One row per model: what it was trained on, how it did on its test split beside the champion of its day, the anchor and
-- the TF-IDF baseline on the same rows, the gate's verdict, whether it serves, and, once it was the champion, how it does
-- on labels that arrived since its corpus snapshot (rows that judged nothing before; empty until there are some).
SELECT
    model.version AS model_version,
    model.base_model,
    model.corpus,
    model.trained_at,
    CAST(MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'rows' THEN metric.value END) AS INTEGER)
    AS test_rows,
    MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'accuracy' THEN metric.value END) AS accuracy,
    MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'macro_f1' THEN metric.value END) AS macro_f1,
    MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'roc_auc' THEN metric.value END) AS roc_auc,
    MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'log_loss' THEN metric.value END) AS log_loss,
    MAX(CASE WHEN metric.subject = 'champion' AND metric.metric = 'accuracy' THEN metric.value END)
    AS champion_accuracy,
    MAX(CASE WHEN metric.subject = 'baseline' AND metric.metric = 'accuracy' THEN metric.value END)
    AS baseline_accuracy,
    model.verdict,
    COALESCE(model.version = service.model_version, FALSE) AS in_service,
    MAX(CASE WHEN metric.subject = 'anchor' AND metric.metric = 'accuracy' THEN metric.value END) AS anchor_accuracy,
    MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'ece' THEN metric.value END) AS ece,
    MAX(CASE WHEN metric.subject = 'candidate' AND metric.metric = 'brier' THEN metric.value END) AS brier,
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
