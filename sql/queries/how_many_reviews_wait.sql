-- How many reviews are labelled, wait for the next run, are held for a person, or could not be labelled?
-- A review is labelled if the model in service has read its present text. Held are the reviews that a held run planned.
-- It counts all reviews and all labels, so its time grows with their number.
WITH counted AS (
    SELECT
        (SELECT COUNT(*) FROM review_attributes) AS reviews,
        (SELECT COUNT(*) FROM sentiment_latest WHERE NOT stale AND NOT carried_over) AS labelled,
        (SELECT COUNT(*) FROM scoring_failures) AS failed,
        (
            SELECT COALESCE(SUM(run.planned), 0)
            FROM scoring_health AS run
            WHERE run.state = 'held' AND run.model_version = service.model_version
        ) AS held
    FROM model_in_service AS service
)

SELECT
    reviews,
    labelled,
    CASE WHEN reviews > labelled + failed + held THEN reviews - labelled - failed - held ELSE 0 END AS pending,
    held,
    failed
FROM counted
