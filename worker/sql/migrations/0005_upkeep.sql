-- What operators do with whole records: erase one, hold one, let terms expire, go on after a restore.

-- Redis' marker of deletions follows `deletions`; what was graded before `horizon` is refused, in any course.
ALTER TABLE ledger
    ADD COLUMN deletions bigint NOT NULL DEFAULT 0 CHECK (deletions >= 0),
    ADD COLUMN horizon   timestamptz NOT NULL DEFAULT '-infinity';

-- The same for one course: a replay cannot bring back what retention has dropped.
CREATE TABLE horizons (
    course_ref integer PRIMARY KEY,
    before     timestamptz NOT NULL
);

-- A tombstone that is lifted stays: it refuses for good what was delivered until then, and a state that
-- comes back from a stale replica is still swept.
ALTER TABLE erasures
    ADD COLUMN erased_by     text NOT NULL DEFAULT '',
    ADD COLUMN reason        text NOT NULL DEFAULT '',
    ADD COLUMN refused_until timestamptz NOT NULL DEFAULT '-infinity', -- newest grading deleted or refused
    ADD COLUMN lifted_at     timestamptz,
    ADD COLUMN lifted_by     text;

-- Records that nobody may destroy: somebody has asked to inspect them.
CREATE TABLE holds (
    student_ref integer PRIMARY KEY,
    reason      text NOT NULL,
    held_by     text NOT NULL,
    since       timestamptz NOT NULL DEFAULT now()
);

-- Disclosures from which a student was taken out: the digest over those who are left.
CREATE TABLE redactions (
    chain    uuid NOT NULL,
    number   bigint NOT NULL,
    students bytea NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain, number)
);

-- Why the epoch was raised; `restored_to` makes raising it twice for one restore impossible.
CREATE TABLE epochs (
    epoch       integer PRIMARY KEY,
    restored_to timestamptz NOT NULL UNIQUE,
    raised_by   text NOT NULL,
    raised_at   timestamptz NOT NULL DEFAULT now()
);

-- The students of one disclosure, the pseudonyms of one student.
CREATE INDEX disclosed_students_rows ON disclosed_students (chain, number);
CREATE INDEX student_keys_refs ON student_keys (student_ref);

-- Whoever is known under any pseudonym, of the present key or another.
CREATE VIEW pseudonyms AS
SELECT student_key, student_ref FROM students
UNION ALL
SELECT student_key, student_ref FROM student_keys;
