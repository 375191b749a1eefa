-- Schools may call their courses the same: what is published is of one school's learners, those whose ids one
-- realm issued ('' where no learner's seal tells). What was published before was of all of them together; it is
-- forgotten, and the next look publishes anew.

DELETE FROM publications;
ALTER TABLE publications
    ADD COLUMN realm text COLLATE "C" NOT NULL DEFAULT '',
    DROP CONSTRAINT publications_pkey,
    ADD PRIMARY KEY (course_id, realm);
