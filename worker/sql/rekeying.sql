-- Every statement of a re-keying. A line `-- name: x` starts statement x.

-- name: count_students
SELECT count(*) FROM students

-- name: students
-- In an order that a move does not change: whoever was moved is found by the former key, and nobody comes twice.
SELECT s.student_key, s.sealed_id,
       ARRAY (SELECT a.student_key FROM student_keys a WHERE a.student_ref = s.student_ref) AS aliases
FROM students s
WHERE s.student_ref > coalesce((SELECT student_ref FROM pseudonyms WHERE student_key = %(after)s), -1)
ORDER BY s.student_ref
LIMIT %(page)s

-- name: add_aliases
WITH wanted AS (
    SELECT n.alias, s.student_ref
    FROM unnest(%(aliases)s::uuid[], %(keys)s::uuid[]) AS n (alias, student_key)
    JOIN students s USING (student_key)
), added AS (
    INSERT INTO student_keys (student_key, student_ref)
    SELECT alias, student_ref FROM wanted w
    WHERE NOT EXISTS (SELECT FROM students s WHERE s.student_key = w.alias)
    ORDER BY alias
    ON CONFLICT DO NOTHING
)
SELECT count(*)
FROM wanted w
JOIN pseudonyms p ON p.student_key = w.alias AND p.student_ref <> w.student_ref

-- name: exclude_merges
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: rekey
WITH wanted AS (
    SELECT s.student_ref, n.old, n.new, n.sealed,
           row_number() OVER (PARTITION BY n.new ORDER BY s.student_ref) > 1
             OR EXISTS (SELECT FROM pseudonyms p
                        WHERE p.student_key = n.new AND p.student_ref <> s.student_ref) AS taken
    FROM unnest(%(olds)s::uuid[], %(news)s::uuid[], %(sealed)s::bytea[]) AS n (old, new, sealed)
    JOIN students s ON s.student_key = n.old
), moved AS (
    UPDATE students s SET student_key = w.new, sealed_id = w.sealed
    FROM wanted w
    WHERE s.student_ref = w.student_ref AND NOT w.taken
    RETURNING s.student_ref, w.old, w.new
), gone AS (
    DELETE FROM student_keys a USING moved m WHERE a.student_key = m.new
), kept AS (
    INSERT INTO student_keys (student_key, student_ref)
    SELECT old, student_ref FROM moved WHERE old <> new ORDER BY old
    ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM wanted WHERE taken) AS taken,
       ARRAY (SELECT old FROM moved) AS moved,
       ARRAY (SELECT DISTINCT o.course_id FROM moved m
              JOIN course_scores c USING (student_ref) JOIN courses o USING (course_ref)) AS courses

-- name: publications
SELECT course_id, realm, body
FROM publications
WHERE course_id = ANY (%(courses)s::text[])
ORDER BY course_id, realm
FOR UPDATE

-- name: put_publication
UPDATE publications SET body = %(body)s WHERE course_id = %(course)s AND realm = %(realm)s

-- name: former
SELECT student_key FROM student_keys WHERE student_key = ANY (%(keys)s::uuid[])
