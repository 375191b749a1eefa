-- How the last events of each source ended, so that a restart does not forget a flood of poison: pairs of
-- (events, poison) per bucket, flattened, and the poison streak at the end.

ALTER TABLE source_progress
    ADD COLUMN poison_buckets integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN poison_streak  integer NOT NULL DEFAULT 0;
