-- Passes when it returns no rows: for each shard of the run, one attempt has scored it to the end.
SELECT shard, planned, attempt, cursor
FROM run_shards
WHERE run_id = :run_id AND accepted_attempt IS NULL
