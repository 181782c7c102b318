-- Format 1 of the store. Later formats are made from it by files of their own.
--
-- `id INTEGER PRIMARY KEY` is SQLite's own row number, so that the newest tasks lie side by side.
-- What changes at every sleep stands in one row. Times are nanoseconds of the store's steady clock
-- unless a comment says otherwise. A million sleepers pay for every byte of a row and of an index.

-- The number by which `file` and others tell a store from other databases: "dorm" in ASCII.
PRAGMA application_id = 0x646f726d;
PRAGMA user_version = 1;

-- One row: who may change the store, and what the clocks showed at the last change.
CREATE TABLE lease (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  epoch INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  holder TEXT NOT NULL,
  -- The highest number that any task has or had.
  last_task INTEGER NOT NULL,
  now INTEGER NOT NULL,
  -- How far the wall clock was ahead of the steady clock.
  ahead INTEGER NOT NULL,
  -- What the wall clock showed, since the Unix epoch; NULL before the first change.
  realtime INTEGER,
  -- Which start of which machine it was, and how long that machine had been running.
  boot INTEGER,
  booted INTEGER,
  -- Tells the steady clock of one store from another's.
  number INTEGER NOT NULL
);
INSERT INTO lease VALUES (1, 0, 0, '', 0, 0, 0, NULL, NULL, NULL, random());

-- Modules, and snapshots that others are compressed against.
CREATE TABLE blobs (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  -- When it was last put.
  put INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  pack INTEGER
);

CREATE TABLE tasks (
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  -- The index of the state in `TaskState::ALL`.
  state INTEGER NOT NULL,
  due INTEGER,
  module INTEGER NOT NULL REFERENCES blobs,
  base INTEGER REFERENCES blobs,
  name TEXT,
  log_next INTEGER NOT NULL,
  log_bytes INTEGER NOT NULL,
  -- Since when the task is over; NULL while it is not.
  ended INTEGER,
  spec BLOB NOT NULL,
  status BLOB NOT NULL,
  snapshot BLOB,
  pack INTEGER
);
CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX tasks_name ON tasks (name) WHERE name IS NOT NULL;
CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL;
CREATE INDEX tasks_pack ON tasks (pack) WHERE pack IS NOT NULL;

-- The tasks that wait for a time of the wall clock, with what their due time is computed from.
CREATE TABLE walls (
  task INTEGER PRIMARY KEY,
  steady INTEGER,
  -- Since the Unix epoch.
  wall INTEGER NOT NULL
);

CREATE TABLE output (
  task INTEGER NOT NULL,
  -- Counts the task's pieces from 0.
  sequence INTEGER NOT NULL,
  -- 1 is standard output, 2 is standard error.
  stream INTEGER NOT NULL CHECK (stream IN (1, 2)),
  -- Since the Unix epoch.
  time INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (task, sequence)
) WITHOUT ROWID;

-- What is remembered of tasks that move from one store to another.
CREATE TABLE moves (
  id BLOB PRIMARY KEY,
  task INTEGER NOT NULL,
  -- The index of the phase in `MovePhase::ALL`.
  phase INTEGER NOT NULL,
  peer BLOB NOT NULL,
  -- What else the daemon knows of the move.
  details BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX moves_task ON moves (task);

-- Snapshots of large guests, in chunks. The upper bits of a chunk's ID are its pack, the lower 20
-- its index in the pack. A pack belongs to one task or to one blob. When that names another pack or is
-- deleted, the pack is dead, and its chunks are deleted a few at a time.
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL
);
CREATE TABLE dead (pack INTEGER PRIMARY KEY);

CREATE TRIGGER tasks_pack_replaced AFTER UPDATE OF pack ON tasks
WHEN old.pack IS NOT NULL AND old.pack IS NOT new.pack
BEGIN INSERT OR IGNORE INTO dead VALUES (old.pack); END;
CREATE TRIGGER tasks_pack_gone AFTER DELETE ON tasks WHEN old.pack IS NOT NULL
BEGIN INSERT OR IGNORE INTO dead VALUES (old.pack); END;
CREATE TRIGGER blobs_pack_gone AFTER DELETE ON blobs WHEN old.pack IS NOT NULL
BEGIN INSERT OR IGNORE INTO dead VALUES (old.pack); END;
