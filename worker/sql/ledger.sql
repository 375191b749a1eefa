-- Every statement of the ledger adapter. A line `-- name: x` starts statement x.

-- name: session
-- A plan made while a table was small would be kept when it has grown: a look-up of known students read the
-- whole table then, and an event cost four times as much. Planning anew costs a batch a millisecond.
SET plan_cache_mode = force_custom_plan;
-- What a batch needs is in memory or soon will be. By the server's default a page out of order costs as four in
-- order do, and a school's few hundred students were read from end to end for each of a batch's.
SET random_page_cost = 1.1;
-- One staging table a session; emptied at each commit without touching the catalogue.
CREATE TEMP TABLE IF NOT EXISTS stage (
    ord           integer NOT NULL,
    course_ref    integer NOT NULL,
    student_ref   integer NOT NULL,
    attempt_key   bigint NOT NULL,
    attempt_check bigint NOT NULL,
    score         double precision,
    max_score     double precision NOT NULL,
    occurred_at   timestamptz NOT NULL,
    graded_at     timestamptz NOT NULL,
    kind          smallint NOT NULL,
    rev           smallint NOT NULL,
    digest        bytea NOT NULL,
    event_key     text COLLATE "C" NOT NULL,
    item          text COLLATE "C" NOT NULL,
    source        text COLLATE "C" NOT NULL
) ON COMMIT DELETE ROWS

-- name: epoch
SELECT epoch FROM ledger

-- name: open_source
-- A closed source that is opened again begins with no floor: no replica lacks what came before.
INSERT INTO source_progress AS p (source) VALUES (%(source)s)
ON CONFLICT (source) DO UPDATE
SET closed_at = NULL, projected_seq = -1, projected_sub = -1, updated_at = now()
WHERE p.closed_at IS NOT NULL

-- name: progress
SELECT source, seq, sub, projected_seq, projected_sub,
       read, applied, revised, duplicate, superseded, redelivered, erased, dead_lettered,
       poison_buckets, poison_streak, closed_at IS NOT NULL
FROM source_progress
WHERE %(source)s::text IS NULL OR source = %(source)s
ORDER BY source

-- name: known_students
-- By their place among those asked for, in arrays: a row each would cost the client several times as much.
-- OFFSET 0 keeps each look-up apart, here and below: joined, the planner reads all students to find the few
-- hundred of a batch.
SELECT array_agg(k.ord::int), array_agg(s.student_ref),
       EXISTS (SELECT FROM student_keys), (SELECT rekeyings FROM ledger)
FROM unnest(%(keys)s::uuid[]) WITH ORDINALITY AS k (student_key, ord)
CROSS JOIN LATERAL (SELECT student_ref FROM students WHERE student_key = k.student_key OFFSET 0) s

-- name: known_aliases
-- Those who are known under another key now: that counts where a key is both.
SELECT k.ord::int, s.student_ref, s.student_key
FROM unnest(%(keys)s::uuid[]) WITH ORDINALITY AS k (student_key, ord)
CROSS JOIN LATERAL (SELECT student_ref FROM student_keys WHERE student_key = k.student_key OFFSET 0) a
CROSS JOIN LATERAL (SELECT * FROM students WHERE student_ref = a.student_ref OFFSET 0) s

-- name: new_students
-- Committed before the merge: inside the merge's own statement a second writer would not see them and
-- silently merge nothing. Sorted, so that two writers cannot deadlock.
INSERT INTO students (student_key, sealed_id)
SELECT student_key, sealed_id
FROM unnest(%(keys)s::uuid[], %(sealed)s::bytea[]) AS n (student_key, sealed_id)
ORDER BY student_key
ON CONFLICT DO NOTHING

-- name: exclude_adoptions
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: new_aliases
INSERT INTO student_keys (student_key, student_ref)
SELECT student_key, student_ref
FROM unnest(%(keys)s::uuid[], %(refs)s::int[]) AS n (student_key, student_ref)
ORDER BY student_key
ON CONFLICT DO NOTHING

-- name: known_courses
SELECT course_id, course_ref FROM courses WHERE course_id = ANY (%(ids)s::text[])

-- name: new_courses
INSERT INTO courses (course_id)
SELECT course_id FROM unnest(%(ids)s::text[]) AS n (course_id) ORDER BY course_id
ON CONFLICT DO NOTHING

-- name: hold_erasures
SELECT pg_advisory_xact_lock_shared(%(lock)s)

-- name: lock_progress
SELECT seq, sub, (SELECT rekeyings FROM ledger) FROM source_progress WHERE source = %(source)s FOR UPDATE

-- name: stage
COPY stage (ord, course_ref, student_ref, attempt_key, attempt_check, max_score, occurred_at, graded_at,
            kind, rev, digest, score, event_key, item, source)
FROM STDIN (FORMAT BINARY)

-- name: merge
-- The last writer of each attempt wins: newest grading, then void, event key, decoder revision, digest.
-- Upserts in key order never deadlock; UPDATE ... FROM does. What was merged comes as four arrays, what was
-- bumped as four more: rows would cost the client several times as much.
WITH winners AS (
    SELECT DISTINCT ON (course_ref, student_ref, attempt_key) *
    FROM stage
    WHERE graded_at >= (SELECT horizon FROM ledger)
      AND NOT EXISTS (SELECT FROM horizons h
                      WHERE h.course_ref = stage.course_ref AND stage.graded_at < h.before)
      AND NOT EXISTS (SELECT FROM erasures e
                      WHERE e.student_ref = stage.student_ref
                        AND (e.lifted_at IS NULL OR stage.graded_at <= e.refused_until))
    ORDER BY course_ref, student_ref, attempt_key,
             graded_at DESC, kind DESC, event_key DESC, rev DESC, digest DESC
), merged AS (
    INSERT INTO attempts AS a (course_ref, student_ref, attempt_key, attempt_check, score, max_score,
                               occurred_at, graded_at, kind, rev, digest, event_key, item, source)
    SELECT course_ref, student_ref, attempt_key, attempt_check, score, max_score,
           occurred_at, graded_at, kind, rev, digest, event_key, item, source
    FROM winners
    ORDER BY course_ref, student_ref, attempt_key
    ON CONFLICT (course_ref, student_ref, attempt_key) DO UPDATE
    SET score = EXCLUDED.score, max_score = EXCLUDED.max_score, occurred_at = EXCLUDED.occurred_at,
        graded_at = EXCLUDED.graded_at, kind = EXCLUDED.kind, rev = EXCLUDED.rev, digest = EXCLUDED.digest,
        event_key = EXCLUDED.event_key, revision = a.revision + 1
    WHERE a.attempt_check = EXCLUDED.attempt_check
      AND (EXCLUDED.graded_at, EXCLUDED.kind, EXCLUDED.event_key, EXCLUDED.rev, EXCLUDED.digest)
        > (a.graded_at, a.kind, a.event_key, a.rev, a.digest)
    RETURNING course_ref, student_ref, attempt_key, revision
), bumped AS (
    INSERT INTO course_scores AS c (course_ref, student_ref)
    SELECT DISTINCT course_ref, student_ref FROM merged ORDER BY course_ref, student_ref
    ON CONFLICT (course_ref, student_ref) DO UPDATE SET version = c.version + 1
    RETURNING course_ref, student_ref, birth, version
)
SELECT m.*, b.*
FROM (SELECT array_agg(course_ref), array_agg(student_ref), array_agg(attempt_key), array_agg(revision)
      FROM merged) m,
     (SELECT array_agg(course_ref), array_agg(student_ref), array_agg(birth), array_agg(version)
      FROM bumped) b

-- name: classify
-- What became of the staged events that changed nothing. Refused: older than what was deleted, or delivered
-- again after a tombstone was lifted. OFFSET 0 as above: joined, a replay's batch would read all attempts.
SELECT s.ord,
       e.student_ref IS NOT NULL AND e.lifted_at IS NULL AS erased,
       s.graded_at < (SELECT horizon FROM ledger)
         OR coalesce(s.graded_at < h.before, false)
         OR coalesce(s.graded_at <= e.refused_until, false) AS refused,
       a.attempt_check IS DISTINCT FROM s.attempt_check AS collides,
       (a.graded_at, a.kind, a.event_key, a.rev, a.digest)
         = (s.graded_at, s.kind, s.event_key, s.rev, s.digest) AS same
FROM stage s
LEFT JOIN LATERAL (
    SELECT * FROM attempts
    WHERE course_ref = s.course_ref AND student_ref = s.student_ref AND attempt_key = s.attempt_key
    OFFSET 0
) a ON true
LEFT JOIN erasures e ON e.student_ref = s.student_ref
LEFT JOIN horizons h ON h.course_ref = s.course_ref
WHERE s.ord = ANY (%(ords)s::int[])

-- name: refused
-- A tombstone remembers the newest grading that it refused: once lifted, it refuses that one still.
UPDATE erasures e
SET refused_until = s.newest
FROM (SELECT student_ref, max(graded_at) AS newest
      FROM stage WHERE ord = ANY (%(ords)s::int[]) GROUP BY student_ref) s
WHERE e.student_ref = s.student_ref AND e.lifted_at IS NULL AND e.refused_until < s.newest

-- name: unchanged_versions
SELECT array_agg(k.course_ref), array_agg(k.student_ref), array_agg(c.birth), array_agg(c.version)
FROM unnest(%(courses)s::int[], %(students)s::int[]) AS k (course_ref, student_ref)
CROSS JOIN LATERAL (
    SELECT * FROM course_scores WHERE course_ref = k.course_ref AND student_ref = k.student_ref OFFSET 0
) c

-- name: bury
INSERT INTO dead_letters (source, seq, sub, number, reason, field, payload, expires_at)
VALUES (%(source)s, %(seq)s, %(sub)s, %(number)s, %(reason)s, %(field)s, %(payload)s,
        now() + make_interval(days => %(days)s))
ON CONFLICT DO NOTHING

-- name: advance
UPDATE source_progress
SET seq = CASE WHEN (seq, sub) < (%(seq)s, %(sub)s) THEN %(seq)s ELSE seq END,
    sub = CASE WHEN (seq, sub) < (%(seq)s, %(sub)s) THEN %(sub)s ELSE sub END,
    read = read + %(read)s,
    applied = applied + %(applied)s,
    revised = revised + %(revised)s,
    duplicate = duplicate + %(duplicate)s,
    superseded = superseded + %(superseded)s,
    redelivered = redelivered + %(redelivered)s,
    erased = erased + %(erased)s,
    dead_lettered = dead_lettered + %(dead_lettered)s,
    poison_buckets = %(poison_buckets)s::int[],
    poison_streak = %(poison_streak)s,
    updated_at = now(),
    closed_at = NULL
WHERE source = %(source)s

-- name: read
-- Versions and survivors in one statement, therefore one snapshot; a lock clause would mix two. On the
-- writer only: a reader endpoint may lag behind what it is asked to repair. The survivors of a state come as
-- one string of bytes, 20 for each: a row each would cost the client four times as much. Rounding is to even
-- here as in the domain; the least integer stands for no ratio. Look-ups one by one, because the planner, left
-- to choose, may walk through every learner of a course, or of all courses.
WITH k AS MATERIALIZED (
    SELECT ord,
           (SELECT s.student_ref FROM students s WHERE s.student_key = n.student_key) AS student_ref,
           (SELECT o.course_ref FROM courses o WHERE o.course_id = n.course_id) AS course_ref
    FROM unnest(%(students)s::uuid[], %(courses)s::text[]) WITH ORDINALITY AS n (student_key, course_id, ord)
)
SELECT k.ord, c.birth, c.version, pg_is_in_recovery() AS lagging,
       (SELECT string_agg(
                   timestamptz_send(a.occurred_at)
                   || int8send(a.attempt_key)
                   || int4send(CASE WHEN a.score IS NULL OR a.max_score <= 0 THEN -2147483648
                                    ELSE round(a.score / a.max_score * 1000000)::integer END),
                   ''::bytea)
        FROM attempts a
        WHERE a.course_ref = c.course_ref AND a.student_ref = c.student_ref AND a.kind = 0) AS survivors
FROM k
CROSS JOIN LATERAL (
    SELECT * FROM course_scores WHERE course_ref = k.course_ref AND student_ref = k.student_ref OFFSET 0
) c

-- name: versions
SELECT c.course_ref, c.student_ref, s.student_key, o.course_id, c.birth, c.version
FROM course_scores c
JOIN students s USING (student_ref)
JOIN courses o USING (course_ref)
WHERE (c.course_ref, c.student_ref) > (%(course_ref)s, %(student_ref)s)
ORDER BY c.course_ref, c.student_ref
LIMIT %(page)s

-- name: count_states
SELECT count(*) FROM course_scores

-- name: states_of
SELECT s.student_key, o.course_id
FROM (SELECT DISTINCT unnest(%(students)s::uuid[])) k (student_key)
CROSS JOIN LATERAL (SELECT * FROM students WHERE student_key = k.student_key OFFSET 0) s
CROSS JOIN LATERAL (SELECT course_ref FROM course_scores WHERE student_ref = s.student_ref OFFSET 0) c
JOIN courses o USING (course_ref)

-- name: erased
-- Those whose tombstone was lifted too: their states may come back without a row.
SELECT s.student_key, course_id
FROM erasures e
JOIN students s USING (student_ref)
CROSS JOIN LATERAL unnest(e.courses) AS c (course_id)

-- name: advance_floor
UPDATE source_progress
SET projected_seq = %(seq)s, projected_sub = %(sub)s, updated_at = now()
WHERE source = %(source)s AND (projected_seq, projected_sub) < (%(seq)s, %(sub)s)

-- name: floors
SELECT source, projected_seq, projected_sub FROM source_progress WHERE closed_at IS NULL
UNION ALL
SELECT %(deletions)s::text, deletions, 0 FROM ledger WHERE deletions > 0

-- name: idle
SELECT source, seq, sub, projected_seq, projected_sub
FROM source_progress
WHERE closed_at IS NULL
  AND NOT starts_with(source, %(streams)s)
  AND updated_at <= now() - %(idle)s::interval
ORDER BY source

-- name: close_source
-- Only as it was seen: whoever has written since is at work.
UPDATE source_progress
SET closed_at = now()
WHERE source = %(source)s
  AND closed_at IS NULL
  AND updated_at <= now() - %(idle)s::interval
  AND (projected_seq, projected_sub) = (seq, sub)

-- name: try_sweep
SELECT pg_try_advisory_lock(%(lock)s)

-- name: end_sweep
SELECT pg_advisory_unlock(%(lock)s)
