-- One row per scoring run: how many reviews it planned, what happened to them, and when it was published. Each range of
-- keys is a run of its own; the runs of a series have the same idempotency_key up to the sign #.
-- superseded: reviews that were edited or deleted after planning, or that belong to a held run; the next run labels
-- the edited ones.
-- late: reviews that only a reconciliation could find: they were committed after a nightly run, with an updated_at that
-- the run had already passed. overruled: the checks that a person overruled, with what they found.
-- seconds: from the opening of its series to publication.
-- The state held: the labels differ unusually from those of earlier runs (held_because), so the run waits for a person
-- since held_at, with as many reviews as planned says, and no other run labels them. next_step is what to type.
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
    seconds,
    held_at,
    held_because,
    CASE
        WHEN state = 'held'
            THEN
                'senti score --run ' || run_id || ' --publish-anyway REASON, or '
                || 'senti score --run ' || run_id || ' --restart'
    END AS next_step
FROM scoring_runs
