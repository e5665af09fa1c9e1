-- One row per scoring run: what it planned, what became of each review, when it was published.
-- superseded: reviews that were edited or deleted between plan and reading; the next run takes them up.
-- late: reviews that a reconciliation found and no night could have: they were committed after it, dated before.
-- overruled: checks that a person overruled, what they found, by whom and why. seconds: from opening to publication.
SELECT
    run_id,
    origin,
    scope,
    model_version,
    form,
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
