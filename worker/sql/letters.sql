-- Every statement of the dead letters' adapter. A line `-- name: x` starts statement x.
-- A copy is what the ledger refused of a letter while it was tried: it lies under the job's source, at the
-- letter's number. It is never chosen while its letter is there. Only a job's numbers fit a bigint: CASE keeps
-- those of a stream, which have 56 digits, from being cast.

-- name: counts
SELECT reason, count(*)
FROM dead_letters d
WHERE d.expires_at > now()
  AND (%(reasons)s::text[] IS NULL OR d.reason = ANY (%(reasons)s::text[]))
  AND (%(first)s::timestamptz IS NULL OR d.stored_at >= %(first)s)
  AND (%(last)s::timestamptz IS NULL OR d.stored_at < %(last)s)
  AND (%(shard)s::text IS NULL OR right(d.source, length(%(shard)s) + 1) = ':' || %(shard)s)
  AND (%(newest)s::bigint IS NULL OR d.letter <= %(newest)s)
  AND NOT EXISTS (
      SELECT FROM dead_letters o WHERE o.letter = CASE WHEN d.source LIKE 'redrive:%%' THEN d.seq::bigint END
  )
GROUP BY reason
ORDER BY reason

-- name: newest
SELECT coalesce(max(letter), 0) FROM dead_letters

-- name: page
SELECT letter, source, reason, field, payload, stored_at, tries
FROM dead_letters d
WHERE d.letter > %(after)s
  AND d.expires_at > now()
  AND (%(reasons)s::text[] IS NULL OR d.reason = ANY (%(reasons)s::text[]))
  AND (%(first)s::timestamptz IS NULL OR d.stored_at >= %(first)s)
  AND (%(last)s::timestamptz IS NULL OR d.stored_at < %(last)s)
  AND (%(shard)s::text IS NULL OR right(d.source, length(%(shard)s) + 1) = ':' || %(shard)s)
  AND (%(newest)s::bigint IS NULL OR d.letter <= %(newest)s)
  AND NOT EXISTS (
      SELECT FROM dead_letters o WHERE o.letter = CASE WHEN d.source LIKE 'redrive:%%' THEN d.seq::bigint END
  )
ORDER BY letter
LIMIT %(count)s

-- name: claim
-- Rows that another operator is just claiming are passed over, not waited for. Its own are claimed again, so
-- that a claim of unknown outcome can be repeated.
WITH chosen AS (
    SELECT letter
    FROM dead_letters d
    WHERE d.letter > %(after)s
      AND d.expires_at > now()
      AND (d.claimed_until IS NULL OR d.claimed_until <= now() OR d.claimed_by = %(operator)s)
      AND (%(reasons)s::text[] IS NULL OR d.reason = ANY (%(reasons)s::text[]))
      AND (%(first)s::timestamptz IS NULL OR d.stored_at >= %(first)s)
      AND (%(last)s::timestamptz IS NULL OR d.stored_at < %(last)s)
      AND (%(shard)s::text IS NULL OR right(d.source, length(%(shard)s) + 1) = ':' || %(shard)s)
      AND (%(newest)s::bigint IS NULL OR d.letter <= %(newest)s)
      AND NOT EXISTS (
          SELECT FROM dead_letters o
          WHERE o.letter = CASE WHEN d.source LIKE 'redrive:%%' THEN d.seq::bigint END
      )
    ORDER BY letter
    LIMIT %(count)s
    FOR UPDATE SKIP LOCKED
)
UPDATE dead_letters d
SET claimed_by = %(operator)s, claimed_until = now() + make_interval(secs => %(seconds)s)
FROM chosen
WHERE d.letter = chosen.letter
RETURNING d.letter, d.source, d.reason, d.field, d.payload, d.stored_at, d.tries

-- name: renew
UPDATE dead_letters
SET claimed_until = now() + make_interval(secs => %(seconds)s)
WHERE claimed_by = %(operator)s AND claimed_until > now()

-- name: refused
SELECT seq::bigint, reason, field
FROM dead_letters
WHERE source = %(source)s AND seq = ANY (%(numbers)s::numeric[])
ORDER BY number DESC

-- name: hold
-- Locked before anything is decided, so that a claim cannot run out, nor a tidying begin, in between.
SELECT letter
FROM dead_letters
WHERE letter = ANY (%(numbers)s::bigint[]) AND claimed_by = %(operator)s AND claimed_until > now()
ORDER BY letter
FOR UPDATE

-- name: drop_copies
DELETE FROM dead_letters WHERE source = %(source)s AND seq = ANY (%(numbers)s::numeric[])

-- name: recover
DELETE FROM dead_letters WHERE letter = ANY (%(numbers)s::bigint[])

-- name: keep
UPDATE dead_letters d
SET reason = f.reason, field = f.field, tries = d.tries + 1, tried_at = now(),
    claimed_by = NULL, claimed_until = NULL
FROM unnest(%(numbers)s::bigint[], %(reasons)s::text[], %(fields)s::text[]) AS f (letter, reason, field)
WHERE d.letter = f.letter

-- name: present
SELECT letter FROM dead_letters WHERE letter = ANY (%(numbers)s::bigint[])

-- name: release
UPDATE dead_letters SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = %(operator)s

-- name: tidy
DELETE FROM dead_letters c
USING dead_letters o
WHERE o.letter = CASE WHEN c.source LIKE 'redrive:%%' THEN c.seq::bigint END
  AND (o.claimed_until IS NULL OR o.claimed_until <= now())
