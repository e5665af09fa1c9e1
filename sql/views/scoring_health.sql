-- One row per scoring run: how many reviews it planned, what happened to them, and when it was published. Each range of
-- a re-scoring is a run of its own (scope rescore).
-- superseded: reviews that were edited or deleted after planning; the next run labels those that still exist.
-- late: reviews that only a reconciliation could find: they were committed after a nightly run, with an updated_at that
-- the run had already passed. overruled: the checks that a person overruled, with what they found.
-- seconds: from opening to publication.
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
