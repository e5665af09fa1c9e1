-- One row per day from 1990 to 2059, with its week and month. day_number counts the days since 1970-01-01: the
-- difference of two is a number of days, on SQLite and PostgreSQL alike. week_start is the Monday of the week.
SELECT
    day,
    day_number,
    week_start,
    month
FROM calendar_days
