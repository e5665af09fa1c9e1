-- Which reviews could not be labelled, and why?
SELECT reason, COUNT(*) AS reviews, MIN(CAST(review_id AS TEXT)) AS for_instance
FROM scoring_failures
GROUP BY reason
ORDER BY reviews DESC, reason
