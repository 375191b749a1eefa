-- Every statement of retention. A line `-- name: x` starts statement x.

-- name: known_courses
SELECT course_id FROM courses WHERE course_id = ANY (%(courses)s::text[])

-- name: exclude_merges
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: beside_merges
-- Shared: merges go on beside it, but no hold and no erasure.
SELECT pg_advisory_xact_lock_shared(%(lock)s)

-- name: raise_horizon
UPDATE ledger SET horizon = %(before)s WHERE horizon < %(before)s

-- name: raise_horizons
INSERT INTO horizons AS h (course_ref, before)
SELECT course_ref, %(before)s FROM courses WHERE course_id = ANY (%(courses)s::text[])
ON CONFLICT (course_ref) DO UPDATE SET before = greatest(h.before, EXCLUDED.before)

-- name: count_states
SELECT count(*) FROM course_scores
WHERE %(every)s OR course_ref IN (SELECT course_ref FROM courses WHERE course_id = ANY (%(courses)s::text[]))

-- name: expire
-- A page of states in the order of their key. Attempts go, the row stays at a version that is raised by one.
WITH page AS (
    SELECT c.course_ref, c.student_ref,
           greatest((SELECT horizon FROM ledger), z.before) AS before,
           h.student_ref IS NOT NULL AS held
    FROM course_scores c
    LEFT JOIN horizons z USING (course_ref)
    LEFT JOIN holds h USING (student_ref)
    WHERE (c.course_ref, c.student_ref) > (
              coalesce((SELECT course_ref FROM courses WHERE course_id = %(course)s), -1),
              coalesce((SELECT student_ref FROM students WHERE student_key = %(student)s), -1))
      AND (%(every)s OR c.course_ref IN (
              SELECT course_ref FROM courses WHERE course_id = ANY (%(courses)s::text[])))
    ORDER BY c.course_ref, c.student_ref
    LIMIT %(page)s
), gone AS (
    DELETE FROM attempts a USING page p
    WHERE a.course_ref = p.course_ref AND a.student_ref = p.student_ref
      AND a.graded_at < p.before AND NOT p.held
    RETURNING a.course_ref, a.student_ref
), counts AS (
    SELECT course_ref, student_ref, count(*) AS attempts FROM gone GROUP BY course_ref, student_ref
), bumped AS (
    UPDATE course_scores c SET version = c.version + 1
    FROM counts n
    WHERE c.course_ref = n.course_ref AND c.student_ref = n.student_ref
)
SELECT s.student_key, o.course_id, coalesce(n.attempts, 0) AS attempts,
       CASE WHEN p.held THEN (SELECT count(*) FROM attempts a
                              WHERE a.course_ref = p.course_ref AND a.student_ref = p.student_ref
                                AND a.graded_at < p.before)
            ELSE 0 END AS held
FROM page p
JOIN students s USING (student_ref)
JOIN courses o USING (course_ref)
LEFT JOIN counts n USING (course_ref, student_ref)
ORDER BY p.course_ref, p.student_ref

-- name: expiring
WITH page AS (
    SELECT c.course_ref, c.student_ref,
           greatest((SELECT horizon FROM ledger), z.before, %(before)s) AS before,
           h.student_ref IS NOT NULL AS held
    FROM course_scores c
    LEFT JOIN horizons z USING (course_ref)
    LEFT JOIN holds h USING (student_ref)
    WHERE (c.course_ref, c.student_ref) > (
              coalesce((SELECT course_ref FROM courses WHERE course_id = %(course)s), -1),
              coalesce((SELECT student_ref FROM students WHERE student_key = %(student)s), -1))
      AND (%(every)s OR c.course_ref IN (
              SELECT course_ref FROM courses WHERE course_id = ANY (%(courses)s::text[])))
    ORDER BY c.course_ref, c.student_ref
    LIMIT %(page)s
)
SELECT s.student_key, o.course_id,
       CASE WHEN p.held THEN 0 ELSE n.attempts END AS attempts,
       CASE WHEN p.held THEN n.attempts ELSE 0 END AS held,
       n.total > CASE WHEN p.held THEN 0 ELSE n.attempts END AS kept
FROM page p
JOIN students s USING (student_ref)
JOIN courses o USING (course_ref)
CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE a.graded_at < p.before) AS attempts FROM attempts a
    WHERE a.course_ref = p.course_ref AND a.student_ref = p.student_ref
) n
ORDER BY p.course_ref, p.student_ref

-- name: count_deletion
UPDATE ledger SET deletions = deletions + 1 RETURNING deletions

-- name: exclude_clearing
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: unlink_disclosures
-- A disclosure is kept as long as the record it is of: that of the student in its course, or in any course
-- where it names none. The rows of the chains stay; each remembers the digest of the students who are left.
WITH page AS (
    SELECT d.chain, d.number, o.course_ref, d.course_id IS NULL AS whole,
           d.at < greatest((SELECT horizon FROM ledger), z.before) AS old
    FROM disclosures d
    LEFT JOIN courses o USING (course_id)
    LEFT JOIN horizons z USING (course_ref)
    WHERE (d.chain, d.number) > (%(chain)s, %(number)s)
    ORDER BY d.chain, d.number
    LIMIT %(page)s
), gone AS (
    DELETE FROM disclosed_students d
    USING page p
    WHERE d.chain = p.chain AND d.number = p.number AND p.old
      AND NOT EXISTS (SELECT FROM pseudonyms s JOIN holds h USING (student_ref)
                      WHERE s.student_key = d.student_key)
      AND NOT EXISTS (SELECT FROM pseudonyms s
                      JOIN course_scores c USING (student_ref)
                      JOIN attempts a USING (course_ref, student_ref)
                      WHERE s.student_key = d.student_key AND (p.whole OR c.course_ref = p.course_ref))
    RETURNING d.chain, d.number, d.student_key
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
SELECT chain, number, (SELECT count(*) FROM gone) FROM page ORDER BY chain, number

-- name: outlived
-- Who would be taken out under a horizon that is not set yet: an attempt that it will refuse does not count,
-- but where another course's horizon refuses one already and was not followed, it stays for now.
WITH page AS (
    SELECT d.chain, d.number, o.course_ref, d.course_id IS NULL AS whole,
           d.at < greatest((SELECT horizon FROM ledger), z.before,
                           CASE WHEN %(every)s OR d.course_id = ANY (%(courses)s::text[])
                                THEN %(before)s::timestamptz END) AS old
    FROM disclosures d
    LEFT JOIN courses o USING (course_id)
    LEFT JOIN horizons z USING (course_ref)
    WHERE (d.chain, d.number) > (%(chain)s, %(number)s)
    ORDER BY d.chain, d.number
    LIMIT %(page)s
)
SELECT chain, number,
       (SELECT count(*)
        FROM page p
        JOIN disclosed_students d USING (chain, number)
        WHERE p.old
          AND NOT EXISTS (SELECT FROM pseudonyms s JOIN holds h USING (student_ref)
                          WHERE s.student_key = d.student_key)
          AND NOT EXISTS (SELECT FROM pseudonyms s
                          JOIN course_scores c USING (student_ref)
                          JOIN courses o USING (course_ref)
                          LEFT JOIN horizons z USING (course_ref)
                          JOIN attempts a USING (course_ref, student_ref)
                          WHERE s.student_key = d.student_key AND (p.whole OR c.course_ref = p.course_ref)
                            AND (NOT (%(every)s OR o.course_id = ANY (%(courses)s::text[]))
                                 OR a.graded_at >= greatest((SELECT horizon FROM ledger), z.before,
                                                            %(before)s))))
FROM page
ORDER BY chain, number

-- name: drop_publications
WITH dropped AS (
    DELETE FROM publications p
    WHERE NOT EXISTS (SELECT FROM courses o JOIN attempts a USING (course_ref) WHERE o.course_id = p.course_id)
    RETURNING course_id
)
SELECT count(DISTINCT course_id) FROM dropped

-- name: emptied_publications
SELECT count(DISTINCT p.course_id) FROM publications p
WHERE p.course_id <> ALL (%(kept)s::text[])
  AND (%(every)s
       OR p.course_id = ANY (%(courses)s::text[])
       OR NOT EXISTS (SELECT FROM courses o JOIN attempts a USING (course_ref)
                      WHERE o.course_id = p.course_id))

-- name: expired_letters
SELECT count(*) FROM dead_letters WHERE expires_at < now()

-- name: bury_expired_letters
DELETE FROM dead_letters
WHERE ctid = ANY (ARRAY (SELECT ctid FROM dead_letters WHERE expires_at < now() LIMIT %(most)s))

-- name: forget_courses
UPDATE erasures SET courses = '{}' WHERE purged_at < %(before)s AND courses <> '{}'

-- name: forgettable_courses
SELECT count(*) FROM erasures WHERE purged_at < %(before)s AND courses <> '{}'
