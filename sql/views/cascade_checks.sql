-- One row per run of a cascade: how many reviews its last stage answered, and what that stage says to a random sample of the
-- other answers (SENTI_CASCADE_CHECKS). The rows of a held run are here, too. The shares are of all labels of the run.
-- disagreement_least and disagreement_most are its confidence bounds (99 %, one-sided); the recent figures are of this run and
-- those before it, at most 28. alarm: the lower bound is above the limit, so chance does not explain it; NULL: it is not.
SELECT
    checks.run_id,
    run.model_version,
    run.state,
    run.opened_at,
    run.published_at,
    checks.answered,
    CASE
        WHEN checks.answered > 0 THEN CAST(checks.escalated AS DOUBLE PRECISION) / checks.answered
    END AS escalated_share,
    checks.checked,
    checks.differing,
    checks.disagreement,
    checks.disagreement_least,
    checks.disagreement_most,
    checks.recent_runs,
    checks.recent_disagreement,
    checks.recent_disagreement_least,
    checks.recent_disagreement_most,
    checks.disagreement_limit,
    checks.alarm
FROM run_checks AS checks
INNER JOIN scoring_runs AS run ON run.run_id = checks.run_id
