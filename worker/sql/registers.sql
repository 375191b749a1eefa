-- Every statement of the adapter that reads registers for a job. A line `-- name: x` starts statement x.

-- name: known
-- OFFSET 0 keeps each look-up apart, here and below: joined, the planner reads all students, or all attempts.
SELECT k.asked, s.student_key, e.lifted_at IS NULL AND e.student_ref IS NOT NULL AS erased,
       CASE WHEN e.lifted_at IS NOT NULL THEN nullif(e.refused_until, '-infinity') END AS refused_until
FROM (SELECT DISTINCT unnest(%(students)s::uuid[])) k (asked)
CROSS JOIN LATERAL (
    SELECT student_ref FROM students WHERE student_key = k.asked
    UNION ALL
    SELECT student_ref FROM student_keys WHERE student_key = k.asked
    OFFSET 0
) f
CROSS JOIN LATERAL (SELECT * FROM students WHERE student_ref = f.student_ref OFFSET 0) s
LEFT JOIN LATERAL (SELECT * FROM erasures WHERE student_ref = f.student_ref OFFSET 0) e ON true

-- name: horizons
SELECT n.course_id, greatest(l.horizon, h.before)
FROM unnest(%(courses)s::text[]) AS n (course_id)
CROSS JOIN ledger l
LEFT JOIN courses o USING (course_id)
LEFT JOIN horizons h USING (course_ref)
WHERE greatest(l.horizon, h.before) > '-infinity'

-- name: writers
-- Look-ups first here too: the planner, left to choose, may walk through every learner of a course.
WITH k AS MATERIALIZED (
    SELECT ord, attempt_key,
           (SELECT s.student_ref FROM students s WHERE s.student_key = n.student_key) AS student_ref,
           (SELECT o.course_ref FROM courses o WHERE o.course_id = n.course_id) AS course_ref
    FROM unnest(%(students)s::uuid[], %(courses)s::text[], %(keys)s::bigint[])
         WITH ORDINALITY AS n (student_key, course_id, attempt_key, ord)
)
SELECT k.ord, a.attempt_check, a.graded_at, a.kind, a.event_key, a.rev, a.digest, a.attempt_key,
       a.score, a.max_score, (extract(epoch FROM a.occurred_at) * 1000000)::bigint AS occurred
FROM k
CROSS JOIN LATERAL (
    SELECT * FROM attempts
    WHERE course_ref = k.course_ref AND student_ref = k.student_ref AND attempt_key = k.attempt_key
    OFFSET 0
) a

-- name: standing
WITH k AS MATERIALIZED (
    SELECT ord,
           (SELECT s.student_ref FROM students s WHERE s.student_key = n.student_key) AS student_ref,
           (SELECT o.course_ref FROM courses o WHERE o.course_id = n.course_id) AS course_ref
    FROM unnest(%(students)s::uuid[], %(courses)s::text[]) WITH ORDINALITY AS n (student_key, course_id, ord)
)
SELECT k.ord, a.attempt_check, a.graded_at, a.kind, a.event_key, a.rev, a.digest, a.attempt_key,
       a.score, a.max_score, (extract(epoch FROM a.occurred_at) * 1000000)::bigint AS occurred
FROM k
CROSS JOIN LATERAL (
    SELECT * FROM attempts WHERE course_ref = k.course_ref AND student_ref = k.student_ref OFFSET 0
) a
