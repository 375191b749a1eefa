-- Every statement of the adapter that reads registers for a job. A line `-- name: x` starts statement x.

-- name: known
WITH found AS (
    SELECT student_key AS asked, student_ref FROM students WHERE student_key = ANY (%(students)s::uuid[])
    UNION ALL
    SELECT student_key, student_ref FROM student_keys WHERE student_key = ANY (%(students)s::uuid[])
)
SELECT f.asked, s.student_key, EXISTS (SELECT FROM erasures e WHERE e.student_ref = s.student_ref)
FROM found f
JOIN students s USING (student_ref)

-- name: writers
SELECT k.ord, a.attempt_check, a.graded_at, a.kind, a.event_key, a.rev, a.digest, a.attempt_key,
       a.score, a.max_score, (extract(epoch FROM a.occurred_at) * 1000000)::bigint AS occurred
FROM unnest(%(students)s::uuid[], %(courses)s::text[], %(keys)s::bigint[])
     WITH ORDINALITY AS k (student_key, course_id, attempt_key, ord)
JOIN students s USING (student_key)
JOIN courses o USING (course_id)
JOIN attempts a ON a.course_ref = o.course_ref AND a.student_ref = s.student_ref
               AND a.attempt_key = k.attempt_key

-- name: standing
SELECT k.ord, a.attempt_check, a.graded_at, a.kind, a.event_key, a.rev, a.digest, a.attempt_key,
       a.score, a.max_score, (extract(epoch FROM a.occurred_at) * 1000000)::bigint AS occurred
FROM unnest(%(students)s::uuid[], %(courses)s::text[]) WITH ORDINALITY AS k (student_key, course_id, ord)
JOIN students s USING (student_key)
JOIN courses o USING (course_id)
JOIN attempts a ON a.course_ref = o.course_ref AND a.student_ref = s.student_ref
