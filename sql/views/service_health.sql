-- One row at most: which model's labels analysts see, and what is missing of the model that is to come. There is no row
-- before the first promotion.
-- model_version: the model in service. carried_over: reviews that it has not labelled yet, so that analysts see the label
-- of the model that served before (review_sentiment.carried_over). Runs replace these labels; those of deleted reviews,
-- of a held run and of texts that the model cannot label stay.
-- incoming: a promoted model that is not in service yet, or NULL. missing: reviews with a label of the model in service
-- that the incoming model has not answered yet; at 0 it goes into service. Until then analysts see no label of it.
WITH newest AS (
    SELECT
        promotion.model_version,
        promotion.serving_since
    FROM promotions AS promotion
    ORDER BY promotion.seq DESC
    LIMIT 1
)

SELECT
    service.model_version,
    service.serving_since,
    (
        SELECT COUNT(*)
        FROM review_labels AS carried
        WHERE carried.model_version = service.model_version AND carried.carried_from IS NOT NULL
    ) AS carried_over,
    newest.model_version AS incoming,
    CASE
        WHEN newest.model_version IS NOT NULL
            THEN
                (
                    SELECT COUNT(*)
                    FROM review_labels AS published
                    LEFT JOIN review_labels AS answered
                        ON
                            answered.model_version = newest.model_version
                            AND answered.review_id = published.review_id
                    WHERE
                        published.model_version = service.model_version
                        -- In a CASE, the present version is looked up only for the few reviews without an answer.
                        AND CASE
                            WHEN
                                answered.review_updated_at = published.review_updated_at
                                AND answered.carried_from IS NULL
                                THEN FALSE
                            ELSE
                                published.review_updated_at = (
                                    SELECT review.updated_at
                                    FROM reviews AS review
                                    WHERE review.review_id = published.review_id
                                )
                        END
                        AND NOT EXISTS (
                            SELECT 1
                            FROM scoring_errors AS failed
                            WHERE
                                failed.model_version = newest.model_version
                                AND failed.review_id = published.review_id
                                AND failed.review_updated_at = published.review_updated_at
                        )
                )
        ELSE 0
    END AS missing
FROM model_in_service AS service
LEFT JOIN newest ON newest.serving_since IS NULL
