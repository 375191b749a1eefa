-- Every statement of erasing, holding and lifting. A line `-- name: x` starts statement x.

-- name: subject
SELECT s.student_key,
       ARRAY (SELECT p.student_key FROM pseudonyms p WHERE p.student_ref = s.student_ref) AS keys,
       s.sealed_id,
       ARRAY (SELECT o.course_id FROM course_scores c JOIN courses o USING (course_ref)
              WHERE c.student_ref = s.student_ref
              UNION
              SELECT unnest(e.courses)
              ORDER BY 1) AS courses,
       (SELECT count(*) FROM course_scores c JOIN attempts a USING (course_ref, student_ref)
        WHERE c.student_ref = s.student_ref) AS attempts,
       (SELECT count(*) FROM disclosed_students d JOIN pseudonyms p USING (student_key)
        WHERE p.student_ref = s.student_ref) AS disclosures,
       e.erased_at, e.lifted_at, h.reason, h.held_by, h.since
FROM students s
LEFT JOIN erasures e USING (student_ref)
LEFT JOIN holds h USING (student_ref)
WHERE s.student_ref IN (SELECT student_ref FROM pseudonyms WHERE student_key = ANY (%(keys)s::uuid[]))
ORDER BY s.student_ref
LIMIT 1

-- name: entomb
INSERT INTO students (student_key) VALUES (%(key)s) ON CONFLICT DO NOTHING

-- name: exclude_merges
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: reference
SELECT s.student_ref, h.reason IS NOT NULL AS held
FROM students s
LEFT JOIN holds h USING (student_ref)
WHERE s.student_key = %(key)s

-- name: erase
WITH states AS (
    DELETE FROM course_scores WHERE student_ref = %(ref)s RETURNING course_ref
), gone AS (
    DELETE FROM attempts a USING course_scores c
    WHERE c.student_ref = %(ref)s AND a.course_ref = c.course_ref AND a.student_ref = c.student_ref
    RETURNING a.graded_at
)
INSERT INTO erasures AS e (student_ref, courses, erased_by, reason, refused_until)
SELECT %(ref)s,
       ARRAY (SELECT course_id FROM courses JOIN states USING (course_ref) ORDER BY course_id),
       %(by)s, %(reason)s,
       coalesce((SELECT max(graded_at) FROM gone), '-infinity')
ON CONFLICT (student_ref) DO UPDATE
SET courses = ARRAY (SELECT unnest(e.courses) UNION SELECT unnest(EXCLUDED.courses) ORDER BY 1),
    refused_until = greatest(e.refused_until, EXCLUDED.refused_until),
    erased_at = CASE WHEN e.lifted_at IS NULL THEN e.erased_at ELSE now() END,
    erased_by = CASE WHEN e.lifted_at IS NULL THEN e.erased_by ELSE EXCLUDED.erased_by END,
    reason = CASE WHEN e.lifted_at IS NULL THEN e.reason ELSE EXCLUDED.reason END,
    purged_at = NULL, lifted_at = NULL, lifted_by = NULL
RETURNING courses

-- name: count_deletion
UPDATE ledger SET deletions = deletions + 1 RETURNING deletions

-- name: purged
UPDATE erasures SET purged_at = now()
WHERE student_ref = (SELECT student_ref FROM students WHERE student_key = %(key)s)

-- name: publications
SELECT course_id, realm, body
FROM publications
WHERE course_id IN (
    SELECT unnest(courses) FROM erasures e JOIN students s USING (student_ref) WHERE s.student_key = %(key)s
)
FOR UPDATE

-- name: put_publication
UPDATE publications SET body = %(body)s WHERE course_id = %(course)s AND realm = %(realm)s

-- name: exclude_clearing
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: unlink_disclosures
-- The rows of the chains stay; each remembers the digest of the students who are left.
WITH gone AS (
    DELETE FROM disclosed_students
    WHERE ctid = ANY (ARRAY (
        SELECT d.ctid
        FROM disclosed_students d
        JOIN pseudonyms p USING (student_key)
        JOIN students s USING (student_ref)
        WHERE s.student_key = %(key)s
        LIMIT %(most)s
    ))
    RETURNING chain, number, student_key
), left_over AS (
    SELECT g.chain, g.number,
           sha256(coalesce(string_agg(uuid_send(d.student_key), ''::bytea ORDER BY d.student_key), '')) AS students
    FROM (SELECT chain, number, array_agg(student_key) AS students FROM gone GROUP BY chain, number) g
    LEFT JOIN disclosed_students d
           ON d.chain = g.chain AND d.number = g.number AND d.student_key <> ALL (g.students)
    GROUP BY g.chain, g.number
), kept AS (
    INSERT INTO redactions (chain, number, students)
    SELECT chain, number, students FROM left_over
    ON CONFLICT (chain, number) DO UPDATE SET students = EXCLUDED.students, at = now()
)
SELECT count(*) FROM gone

-- name: unname
UPDATE students SET sealed_id = NULL WHERE student_key = %(key)s

-- name: remains
SELECT (SELECT count(*) FROM course_scores c JOIN attempts a USING (course_ref, student_ref)
        WHERE c.student_ref = s.student_ref) AS attempts,
       (SELECT count(*) FROM course_scores c WHERE c.student_ref = s.student_ref) AS states,
       (SELECT count(*) FROM disclosed_students d JOIN pseudonyms p USING (student_key)
        WHERE p.student_ref = s.student_ref) AS disclosures,
       (s.sealed_id IS NOT NULL)::integer AS sealed_ids,
       (SELECT count(*) FROM erasures e
        WHERE e.student_ref = s.student_ref AND e.lifted_at IS NULL) AS tombstones
FROM students s
WHERE s.student_key = %(key)s

-- name: count_letters
SELECT count(*) FROM dead_letters

-- name: letters
SELECT source, seq, sub, number, payload, expires_at
FROM dead_letters
WHERE (source, seq, sub, number) > (%(source)s, %(seq)s, %(sub)s, %(number)s)
ORDER BY source, seq, sub, number
LIMIT %(page)s

-- name: remove_letter
DELETE FROM dead_letters
WHERE source = %(source)s AND seq = %(seq)s AND sub = %(sub)s AND number = %(number)s

-- name: lift
UPDATE erasures e
SET lifted_at = now(), lifted_by = %(by)s
FROM students s
WHERE s.student_key = %(key)s AND e.student_ref = s.student_ref AND e.lifted_at IS NULL
RETURNING e.student_ref

-- name: name_again
UPDATE students SET sealed_id = %(sealed)s WHERE student_ref = %(ref)s AND sealed_id IS NULL

-- name: hold
INSERT INTO holds (student_ref, reason, held_by)
SELECT s.student_ref, %(reason)s, %(by)s
FROM students s
WHERE s.student_key = %(key)s
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = s.student_ref AND e.lifted_at IS NULL)
ON CONFLICT DO NOTHING
RETURNING student_ref

-- name: release
DELETE FROM holds
WHERE student_ref = (SELECT student_ref FROM students WHERE student_key = %(key)s)
RETURNING student_ref
