-- Format 3: time that does not follow the wall clock. `tasks.due` and `changed` and `blobs.put` are times of a
-- steady clock, which was the wall clock until now; `lease` has where it stood at the last change.
ALTER TABLE lease ADD COLUMN now INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease ADD COLUMN realtime INTEGER;
ALTER TABLE lease ADD COLUMN boot INTEGER;
ALTER TABLE lease ADD COLUMN booted INTEGER;
-- Tells one store's clock from another's.
ALTER TABLE lease ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE lease SET number = random();

-- The tasks that wait for a time of the wall clock, with what their due time is computed from.
CREATE TABLE walls (
  task INTEGER PRIMARY KEY,
  steady INTEGER,
  wall INTEGER NOT NULL
);

PRAGMA user_version = 3;
