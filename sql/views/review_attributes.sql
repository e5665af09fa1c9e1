-- One row per review: the further columns of the file that it was imported from (shop, city, stars, …) as a JSON object,
-- for example attributes ->> 'city'. NULL: the file had none. A team's own table may have such a column, too.
SELECT
    review_id,
    attributes
FROM reviews
