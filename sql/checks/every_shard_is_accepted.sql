-- Passes when it returns no rows: each shard of the run was scored to its end by one attempt.
SELECT shard, planned, attempt, cursor
FROM run_shards
WHERE run_id = :run_id AND accepted_attempt IS NULL
