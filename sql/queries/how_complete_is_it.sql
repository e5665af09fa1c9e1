-- How many reviews of the last ten runs were labelled, could not be labelled, or wait for the next run?
SELECT run_id, due, published_at, state, planned, labelled, failed, superseded, late
FROM scoring_health
WHERE scope <> 'rescore'
ORDER BY run_id DESC
LIMIT 10
