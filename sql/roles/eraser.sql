-- PostgreSQL: senti_eraser erases reviews (senti erase). It is a member of senti_pipeline, and may also delete reviews and
-- annotations from the tables that senti made.
-- `senti migrate` runs this file.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'reviews_made_by' AND value = 'senti') THEN
        GRANT DELETE, MAINTAIN ON reviews TO senti_eraser;
    END IF;
    IF EXISTS (SELECT 1 FROM warehouse_settings WHERE name = 'comments:review_annotations') THEN
        GRANT DELETE, MAINTAIN ON review_annotations TO senti_eraser;
    END IF;
END
$$;
