-- Who has seen whose record. Kept as long as the record itself; a row never changes. Each writer chains its
-- rows by digest, and anchors tie the chains together, so that a row cannot be changed or taken out unseen.

CREATE TABLE disclosures (
    chain     uuid NOT NULL,   -- one writer's rows
    number    bigint NOT NULL, -- gapless within a chain, from 1
    at        timestamptz NOT NULL,
    who       text NOT NULL,   -- the caller's subject, never a student id
    role      text NOT NULL,
    what      text NOT NULL,
    course_id text COLLATE "C",
    purpose   text,
    students  bytea NOT NULL,  -- digest over the pseudonyms below, in their order
    digest    bytea NOT NULL,  -- over the digest before and everything above
    PRIMARY KEY (chain, number)
);

CREATE TABLE disclosed_students (
    student_key uuid NOT NULL,
    at          timestamptz NOT NULL,
    chain       uuid NOT NULL,
    number      bigint NOT NULL,
    PRIMARY KEY (student_key, at, chain, number)
);

CREATE TABLE disclosure_anchors (
    anchor bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    chain  uuid NOT NULL,
    number bigint NOT NULL,
    head   bytea NOT NULL, -- the chain's digest at that number
    digest bytea NOT NULL  -- over the anchor before and the three above
);

-- Which courses a teacher teaches, where the token does not say it.
CREATE TABLE enrolments (
    subject   text NOT NULL,
    course_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (subject, course_id)
);

-- The class figures last shown to people without row access: replaced only when enough learners changed.
CREATE TABLE publications (
    course_id    text COLLATE "C" PRIMARY KEY,
    published_at timestamptz NOT NULL,
    body         bytea NOT NULL
);

