-- One row at most: the model whose labels the other views show, and since when. No row: no model was promoted yet.
SELECT model_version, seq AS promotion_seq, serving_since
FROM promotions
WHERE serving_since IS NOT NULL
ORDER BY seq DESC
LIMIT 1
