-- One row at most: the model whose labels the other views show, and since when. There is no row before the first
-- promotion. highest_label is the most positive of the model's labels; the most negative one is 0.
SELECT
    service.model_version,
    service.seq AS promotion_seq,
    service.serving_since,
    (SELECT MAX(known.label) FROM model_labels AS known WHERE known.model_version = service.model_version)
    AS highest_label
FROM promotions AS service
WHERE service.serving_since IS NOT NULL
ORDER BY service.seq DESC
LIMIT 1
