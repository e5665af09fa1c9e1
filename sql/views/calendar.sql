-- One row per day from 1990 to 2059: its week and month, and a number, since databases spell the arithmetic differently.
-- day_number: days since 1970-01-01, so that a difference of two is a number of days. week_start: the Monday.
SELECT
    day,
    day_number,
    week_start,
    month
FROM calendar_days
