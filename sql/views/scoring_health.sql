-- One row per scoring run: what it planned, what became of each review, when it was published.
-- superseded: reviews that were edited or deleted between plan and reading; the next run takes them up.
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
    truncated
FROM scoring_runs
