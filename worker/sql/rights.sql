-- What worker and API may do in the ledger: read, add, and change what the protocol changes. They delete
-- nothing, change no table, and can neither alter nor take out a disclosure; migrations and the operators'
-- jobs are the owner's. Run by `migrate` after the migrations, whole and in one transaction.

-- name: role
DO $$
BEGIN
    CREATE ROLE edu_app NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL; -- roles belong to the server, not to one database
END
$$

-- name: withdraw
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM edu_app -- of single columns too

-- name: use
GRANT USAGE ON SCHEMA public TO edu_app

-- name: birth
GRANT USAGE ON SEQUENCE score_birth TO edu_app

-- name: see
GRANT SELECT ON ledger, erasures, horizons, redactions, enrolments, schema_migrations TO edu_app

-- name: add
GRANT SELECT, INSERT ON students, student_keys, courses, dead_letters, disclosures, disclosed_students,
    disclosure_anchors
TO edu_app

-- name: refuse
-- A tombstone remembers the newest grading that it refused; the rest of it is the operators'.
GRANT UPDATE (refused_until) ON erasures TO edu_app

-- name: change
GRANT SELECT, INSERT, UPDATE ON attempts, course_scores, source_progress, publications TO edu_app
