-- How complete is it: of the reviews in the last runs, how many were labelled, failed or wait for the next run?
SELECT run_id, due, published_at, state, planned, labelled, failed, superseded, late
FROM scoring_health
WHERE scope <> 'rescore'
ORDER BY run_id DESC
LIMIT 10
