-- How many others were within 100 km and a day, by the lists that `records` has written.
SELECT place, magnitude,
       len(list_filter(list_zip(kilometres, days), lambda other: other[1] < 100 AND abs(other[2]) < 1)) - 1 AS near
FROM 'quakes.parquet'
ORDER BY near DESC, event
LIMIT 5;
