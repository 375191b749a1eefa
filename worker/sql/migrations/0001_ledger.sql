-- The ledger: a set of last-writer-wins registers, keyed by integer references so that the cost of an
-- event stays flat as the table grows. Nothing here holds a student id in the clear.

CREATE TABLE ledger (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch     integer NOT NULL DEFAULT 1 CHECK (epoch > 0) -- raised when restored to an earlier time
);
INSERT INTO ledger DEFAULT VALUES;

CREATE TABLE students (
    student_ref integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    student_key uuid NOT NULL UNIQUE, -- the canonical pseudonym; states in Redis stand under it
    sealed_id   bytea                 -- null once erased
);

-- Pseudonyms of earlier or later keys, written by a re-keying.
CREATE TABLE student_keys (
    student_key uuid PRIMARY KEY,
    student_ref integer NOT NULL REFERENCES students
);

CREATE TABLE courses (
    course_ref integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    course_id  text COLLATE "C" NOT NULL UNIQUE
);

-- One row an attempt. References are not declared as foreign keys: both rows are committed before any
-- attempt names them, and the check would cost more than the merge.
CREATE TABLE attempts (
    course_ref    integer NOT NULL,
    student_ref   integer NOT NULL,
    attempt_key   bigint NOT NULL,
    attempt_check bigint NOT NULL, -- equal key, other check: two attempts whose hashes collide
    score         double precision,
    max_score     double precision NOT NULL,
    occurred_at   timestamptz NOT NULL,
    graded_at     timestamptz NOT NULL,
    kind          smallint NOT NULL, -- 0 scored, 1 voided
    rev           smallint NOT NULL,
    revision      integer NOT NULL DEFAULT 0,
    digest        bytea NOT NULL,
    event_key     text COLLATE "C" NOT NULL,
    item          text COLLATE "C" NOT NULL,
    source        text COLLATE "C" NOT NULL,
    PRIMARY KEY (course_ref, student_ref, attempt_key)
);

CREATE SEQUENCE score_birth;

-- The version of each rolling state, raised under the row's lock: commit-ordered and gapless. `birth` keeps
-- a deleted and reborn row apart from its past.
CREATE TABLE course_scores (
    course_ref  integer NOT NULL,
    student_ref integer NOT NULL,
    birth       bigint NOT NULL DEFAULT nextval('score_birth'),
    version     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (course_ref, student_ref)
) WITH (fillfactor = 70);

-- How far each source is committed and projected, and what became of its events. Sequence numbers have up
-- to 56 digits.
CREATE TABLE source_progress (
    source        text COLLATE "C" PRIMARY KEY,
    seq           numeric NOT NULL DEFAULT -1,
    sub           integer NOT NULL DEFAULT -1,
    projected_seq numeric NOT NULL DEFAULT -1,
    projected_sub integer NOT NULL DEFAULT -1,
    read          bigint NOT NULL DEFAULT 0,
    applied       bigint NOT NULL DEFAULT 0,
    revised       bigint NOT NULL DEFAULT 0,
    duplicate     bigint NOT NULL DEFAULT 0,
    superseded    bigint NOT NULL DEFAULT 0,
    redelivered   bigint NOT NULL DEFAULT 0,
    erased        bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    opened_at     timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    closed_at     timestamptz,
    CONSTRAINT accounting_closes CHECK (
        read = applied + revised + duplicate + superseded + redelivered + erased + dead_lettered
    )
);

-- What can never succeed as it is. The payload is encrypted and opens only for a redrive.
CREATE TABLE dead_letters (
    source     text COLLATE "C" NOT NULL,
    seq        numeric NOT NULL,
    sub        integer NOT NULL,
    number     integer NOT NULL, -- of the event inside its record, -1 for the record as a whole
    reason     text NOT NULL,
    field      text,
    payload    bytea NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    PRIMARY KEY (source, seq, sub, number)
);
CREATE INDEX dead_letters_expiry ON dead_letters (expires_at);

-- Tombstones: a replay cannot bring an erased student back.
CREATE TABLE erasures (
    student_ref integer PRIMARY KEY,
    courses     text[] NOT NULL,
    erased_at   timestamptz NOT NULL DEFAULT now(),
    purged_at   timestamptz
);
