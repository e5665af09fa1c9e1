-- One row per run and part: the run in all, and each product with at least 30 labels in it. It shows how the reviews differ
-- from those of earlier runs, and from those of the training. The rows of a held run are here, too.
-- drift: which of the bounds SENTI_DRIFT_PSI, SENTI_DRIFT_UNLIKE and SENTI_DRIFT_ACCURACY are exceeded; NULL if none is. A
-- difference that may be chance is none. psi needs 7 earlier runs; psi_training compares with the validation split of the
-- training, which may have another mix of reviews than a night has, so it has no bound.
SELECT
    drift.run_id,
    run.model_version,
    run.state,
    run.opened_at,
    run.published_at,
    drift.part,
    products.product,
    drift.reviews,
    CAST(drift.negative AS DOUBLE PRECISION) / drift.reviews AS negative_share,
    drift.confidence_sum / drift.reviews AS expected_accuracy,
    CAST(drift.characters AS DOUBLE PRECISION) / drift.reviews AS mean_characters,
    CASE
        WHEN drift.characters > 0 THEN CAST(drift.unknown_characters AS DOUBLE PRECISION) / drift.characters
    END AS unknown_share,
    CAST(drift.unlike AS DOUBLE PRECISION) / drift.reviews AS unlike_share,
    drift.psi,
    drift.psi_training,
    drift.drift
FROM run_drift AS drift
INNER JOIN scoring_runs AS run ON run.run_id = drift.run_id
LEFT JOIN products ON drift.part = 'product' AND products.product_id = drift.product_id
