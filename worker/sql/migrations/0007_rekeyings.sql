-- How often students were given other pseudonyms: a writer that looked them up before it held its locks sees
-- by this number whether it must look again. Counted by a trigger, so that nobody can forget it.

ALTER TABLE ledger ADD COLUMN rekeyings bigint NOT NULL DEFAULT 0;

CREATE FUNCTION count_rekeying() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger SET rekeyings = rekeyings + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_rekeyings AFTER UPDATE OF student_key ON students
FOR EACH STATEMENT EXECUTE FUNCTION count_rekeying();
