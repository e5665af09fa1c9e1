-- One row per scoring run: what it planned, what became of each review, when it was published.
-- superseded: reviews that were edited or deleted between plan and reading; the next run takes them up.
-- late: reviews that a reconciliation found and no nightly run could have: they were committed after it and dated before.
-- overruled: checks that a person overruled, what they found, by whom and why. seconds: from opening to publication.
SELECT
    run_id,
    idempotency_key,
    scope,
    model_version,
    variant,
    state,
    due,
    opened_at,
    published_at,
    publish_seq,
    planned,
    labelled,
    failed,
    superseded,
    truncated,
    late,
    overruled,
    overruled_by,
    overruled_reason,
    seconds
FROM scoring_runs
