-- What a redrive needs of a dead letter: a number that names it and gives its place in the job's own source,
-- and who tries it now. A claim runs out, so that the letters of an operator who was killed come back.

ALTER TABLE dead_letters
    ADD COLUMN letter        bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN claimed_by    text,
    ADD COLUMN claimed_until timestamptz,
    ADD COLUMN tried_at      timestamptz;
CREATE UNIQUE INDEX dead_letters_letter ON dead_letters (letter);
