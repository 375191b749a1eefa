-- Every statement of a new epoch. A line `-- name: x` starts statement x.

-- name: others
-- A name that is hidden from us is some other user's, who may be a worker.
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND coalesce(application_name, 'edu-worker') = 'edu-worker'

-- name: present
SELECT epoch FROM ledger

-- name: raised_for
SELECT epoch FROM epochs WHERE restored_to = %(restored_to)s

-- name: raise
WITH raised AS (
    UPDATE ledger SET epoch = %(epoch)s WHERE epoch < %(epoch)s RETURNING epoch
)
INSERT INTO epochs (epoch, restored_to, raised_by)
SELECT epoch, %(restored_to)s, %(by)s FROM raised
ON CONFLICT DO NOTHING
RETURNING epoch

-- name: behind
SELECT seq, sub FROM source_progress
WHERE source = %(source)s AND (seq, sub) < (%(seq)s::numeric, %(sub)s::integer)

-- name: accept
UPDATE source_progress p
SET seq = n.seq, sub = n.sub
FROM (SELECT source, seq, sub FROM source_progress WHERE source = %(source)s FOR UPDATE) before,
     (SELECT %(seq)s::numeric AS seq, %(sub)s::integer AS sub) n
WHERE p.source = before.source AND (before.seq, before.sub) < (n.seq, n.sub)
RETURNING before.seq, before.sub
