-- One row per model: what it was trained on, how it did on its test split beside the champion of its day and the
-- TF-IDF baseline on the same rows, the gate's verdict, and whether it serves.
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
    COALESCE(model.version = service.model_version, FALSE) AS in_service
FROM models AS model
LEFT JOIN model_metrics AS metric ON metric.model_version = model.version AND metric.split = 'test'
LEFT JOIN model_in_service AS service ON service.model_version = model.version
GROUP BY
    model.version, model.base_model, model.corpus, model.trained_at, model.verdict, service.model_version
