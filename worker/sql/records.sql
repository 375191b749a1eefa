-- Every statement of the adapters that serve people. A line `-- name: x` starts statement x.

-- name: courses_of
SELECT o.course_id, c.birth, c.version
FROM students s
JOIN course_scores c USING (student_ref)
JOIN courses o USING (course_ref)
WHERE s.student_ref IN (
    SELECT student_ref FROM students WHERE student_key = %(student)s
    UNION ALL
    SELECT student_ref FROM student_keys WHERE student_key = %(student)s
)
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = s.student_ref AND e.lifted_at IS NULL)
ORDER BY o.course_id

-- name: canonical
SELECT s.student_key
FROM students s
WHERE s.student_ref IN (
    SELECT student_ref FROM students WHERE student_key = ANY (%(students)s::uuid[])
    UNION ALL
    SELECT student_ref FROM student_keys WHERE student_key = ANY (%(students)s::uuid[])
)
ORDER BY s.student_ref
LIMIT 1

-- name: versions_of
-- Look-ups one by one, because the planner, left to choose, may walk through every learner of a course, or of
-- all courses. OFFSET 0 keeps it from choosing, here and below.
WITH k AS MATERIALIZED (
    SELECT ord,
           (SELECT s.student_ref FROM students s WHERE s.student_key = n.student_key) AS student_ref,
           (SELECT o.course_ref FROM courses o WHERE o.course_id = n.course_id) AS course_ref
    FROM unnest(%(students)s::uuid[], %(courses)s::text[]) WITH ORDINALITY AS n (student_key, course_id, ord)
)
SELECT k.ord, c.birth, c.version
FROM k
CROSS JOIN LATERAL (
    SELECT * FROM course_scores WHERE course_ref = k.course_ref AND student_ref = k.student_ref OFFSET 0
) c

-- name: held
SELECT s.student_key, s.sealed_id, c.birth, c.version
FROM courses o
JOIN course_scores c USING (course_ref)
JOIN students s USING (student_ref)
WHERE o.course_id = %(course)s
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = c.student_ref AND e.lifted_at IS NULL)
ORDER BY c.student_ref

-- name: sealed_ids
SELECT s.student_key, s.sealed_id
FROM (SELECT DISTINCT unnest(%(students)s::uuid[])) k (student_key)
CROSS JOIN LATERAL (SELECT * FROM students WHERE student_key = k.student_key OFFSET 0) s
WHERE s.sealed_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = s.student_ref AND e.lifted_at IS NULL OFFSET 0)

-- name: standing
SELECT a.item, a.occurred_at, a.graded_at, a.score, a.max_score, a.revision, a.source, a.attempt_key
FROM students s
JOIN courses o ON o.course_id = %(course)s
JOIN attempts a ON a.course_ref = o.course_ref AND a.student_ref = s.student_ref
WHERE s.student_key = %(student)s
  AND a.kind = 0
  AND (%(at)s::timestamptz IS NULL OR (a.occurred_at, a.attempt_key) < (%(at)s, %(key)s::bigint))
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = a.student_ref AND e.lifted_at IS NULL)
ORDER BY a.occurred_at DESC, a.attempt_key DESC
LIMIT %(limit)s

-- name: attempts_of
-- By learner: whoever has ten attempts is looked up once and not ten times.
SELECT s.student_key, a.attempt_key, a.score, a.max_score,
       (extract(epoch FROM a.occurred_at) * 1000000)::bigint AS occurred
FROM courses o
JOIN course_scores c USING (course_ref)
JOIN students s USING (student_ref)
CROSS JOIN LATERAL (
    SELECT * FROM attempts WHERE course_ref = c.course_ref AND student_ref = c.student_ref OFFSET 0
) a
WHERE o.course_id = %(course)s
  AND a.kind = 0
  AND (%(student)s::uuid IS NULL OR s.student_key = %(student)s)
  AND (%(first)s::timestamptz IS NULL OR a.occurred_at >= %(first)s)
  AND (%(last)s::timestamptz IS NULL OR a.occurred_at <= %(last)s)
  AND (%(as_of)s::timestamptz IS NULL OR a.occurred_at <= %(as_of)s)
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = c.student_ref AND e.lifted_at IS NULL)

-- name: items
SELECT a.item, count(*) AS attempts, count(DISTINCT a.student_ref) AS learners,
       avg(CASE WHEN a.score / nullif(a.max_score, 0) >= %(correct_from)s THEN 1.0 ELSE 0.0 END)
         FILTER (WHERE a.score IS NOT NULL AND a.max_score > 0)::double precision AS correct_rate,
       avg(a.score / nullif(a.max_score, 0))
         FILTER (WHERE a.score IS NOT NULL AND a.max_score > 0) AS mean
FROM courses o
JOIN attempts a USING (course_ref)
WHERE o.course_id = %(course)s
  AND a.kind = 0
  AND (%(first)s::timestamptz IS NULL OR a.occurred_at >= %(first)s)
  AND (%(last)s::timestamptz IS NULL OR a.occurred_at <= %(last)s)
  AND (%(as_of)s::timestamptz IS NULL OR a.occurred_at <= %(as_of)s)
  AND (%(learners)s::uuid[] IS NULL
       OR a.student_ref IN (SELECT student_ref FROM students WHERE student_key = ANY (%(learners)s)))
  AND NOT EXISTS (SELECT FROM erasures e WHERE e.student_ref = a.student_ref AND e.lifted_at IS NULL)
GROUP BY a.item
ORDER BY a.item

-- name: course_stamps
SELECT o.course_id, format('%%s.%%s.%%s', count(*), coalesce(sum(c.version), 0), coalesce(max(c.birth), 0))
FROM courses o
JOIN course_scores c USING (course_ref)
WHERE o.course_id = ANY (%(courses)s::text[])
GROUP BY o.course_id

-- name: publication
SELECT body FROM publications WHERE course_id = %(course)s AND realm = %(realm)s

-- name: publish
INSERT INTO publications AS p (course_id, realm, published_at, body)
VALUES (%(course)s, %(realm)s, %(at)s, %(body)s)
ON CONFLICT (course_id, realm) DO UPDATE SET published_at = EXCLUDED.published_at, body = EXCLUDED.body
WHERE p.published_at = %(before)s AND p.published_at < EXCLUDED.published_at
RETURNING course_id

-- name: enrolled
SELECT course_id FROM enrolments WHERE subject = %(subject)s ORDER BY course_id

-- name: figures
SELECT source, read, applied, revised, duplicate, superseded, redelivered, erased, dead_lettered,
       updated_at, closed_at IS NOT NULL AS closed
FROM source_progress
ORDER BY source

-- name: dead_letters
SELECT reason, count(*) FROM dead_letters GROUP BY reason ORDER BY reason

-- name: try_classes
SELECT pg_try_advisory_lock(%(lock)s)

-- name: end_classes
SELECT pg_advisory_unlock(%(lock)s)

-- name: new_disclosures
-- One statement, therefore one round trip and one commit for the disclosures of many requests.
WITH new AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset(%(rows)s::json)
         AS n (chain uuid, number bigint, at timestamptz, who text, role text, what text, course_id text,
               purpose text, subjects text, digest text, students uuid[])
), recorded AS (
    INSERT INTO disclosures (chain, number, at, who, role, what, course_id, purpose, students, digest)
    SELECT chain, number, at, who, role, what, course_id, purpose,
           decode(subjects, 'base64'), decode(digest, 'base64')
    FROM new
)
INSERT INTO disclosed_students (student_key, at, chain, number)
SELECT unnest(students), at, chain, number
FROM new

-- name: look
-- The versions of states, and where none is missing the disclosures of who reads them: one round trip, one commit.
WITH n AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(keys)s::json) AS n (ord bigint, student_key uuid, course_id text)
), k AS MATERIALIZED (
    SELECT ord,
           (SELECT s.student_ref FROM students s WHERE s.student_key = n.student_key) AS student_ref,
           (SELECT o.course_ref FROM courses o WHERE o.course_id = n.course_id) AS course_ref
    FROM n
), found AS MATERIALIZED (
    SELECT k.ord, c.birth, c.version
    FROM k
    -- one look-up each: the planner, which thinks of 100 keys, may read every state there is
    CROSS JOIN LATERAL (
        SELECT birth, version FROM course_scores
        WHERE course_ref = k.course_ref AND student_ref = k.student_ref
        OFFSET 0
    ) c
), new AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset(%(rows)s::json)
         AS r (chain uuid, number bigint, at timestamptz, who text, role text, what text, course_id text,
               purpose text, subjects text, digest text, students uuid[])
    WHERE (SELECT count(*) FROM found) = (SELECT count(*) FROM n)
), recorded AS (
    INSERT INTO disclosures (chain, number, at, who, role, what, course_id, purpose, students, digest)
    SELECT chain, number, at, who, role, what, course_id, purpose,
           decode(subjects, 'base64'), decode(digest, 'base64')
    FROM new
), listed AS (
    INSERT INTO disclosed_students (student_key, at, chain, number)
    SELECT unnest(students), at, chain, number
    FROM new
)
SELECT ord, birth, version FROM found

-- name: of_student
-- Under whatever pseudonym the student had then.
WITH own AS (
    SELECT student_ref FROM students WHERE student_key = %(student)s
    UNION
    SELECT student_ref FROM student_keys WHERE student_key = %(student)s
), keys AS (
    SELECT %(student)s::uuid AS student_key
    UNION
    SELECT student_key FROM students JOIN own USING (student_ref)
    UNION
    SELECT student_key FROM student_keys JOIN own USING (student_ref)
)
SELECT d.at, d.who, d.role, d.what, d.course_id, d.purpose, d.chain, d.number
FROM disclosed_students s
JOIN disclosures d USING (chain, number)
WHERE s.student_key IN (SELECT student_key FROM keys)
  AND (%(at)s::timestamptz IS NULL
       OR (s.at, s.chain, s.number) < (%(at)s, %(chain)s::uuid, %(number)s::bigint))
ORDER BY s.at DESC, s.chain DESC, s.number DESC
LIMIT %(limit)s

-- name: hold_anchors
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: last_anchor
SELECT digest FROM disclosure_anchors ORDER BY anchor DESC LIMIT 1

-- name: new_anchor
INSERT INTO disclosure_anchors (chain, number, head, digest)
VALUES (%(chain)s, %(number)s, %(head)s, %(digest)s)

-- name: all_disclosures
SELECT d.chain, d.number, d.at, d.who, d.role, d.what, d.course_id, d.purpose, d.students, d.digest,
       ARRAY (SELECT s.student_key FROM disclosed_students s
              WHERE s.chain = d.chain AND s.number = d.number ORDER BY s.student_key) AS keys,
       r.students AS redacted
FROM disclosures d
LEFT JOIN redactions r USING (chain, number)
ORDER BY d.chain, d.number

-- name: all_anchors
SELECT anchor, chain, number, head, digest FROM disclosure_anchors ORDER BY anchor
