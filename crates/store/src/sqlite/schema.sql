-- Format 1 of the store. `id INTEGER PRIMARY KEY` is SQLite's own row number, so that the newest
-- tasks lie side by side; what changes at every sleep stands in one row.
CREATE TABLE lease (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  epoch INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  holder TEXT NOT NULL,
  last_task INTEGER NOT NULL
);
INSERT INTO lease VALUES (1, 0, 0, '', 0);

CREATE TABLE blobs (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  put INTEGER NOT NULL,
  bytes BLOB NOT NULL
);

CREATE TABLE tasks (
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  state INTEGER NOT NULL,
  due INTEGER,
  module INTEGER NOT NULL REFERENCES blobs,
  base INTEGER REFERENCES blobs,
  name TEXT,
  log_next INTEGER NOT NULL,
  log_bytes INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  spec BLOB NOT NULL,
  status BLOB NOT NULL,
  snapshot BLOB
);
CREATE INDEX tasks_due ON tasks (due) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX tasks_name ON tasks (name) WHERE name IS NOT NULL;
-- States are numbered in the order of a task's life; 5 and 6 are exited and failed.
CREATE INDEX tasks_over ON tasks (changed) WHERE state >= 5;

CREATE TABLE output (
  task INTEGER NOT NULL,
  place INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  time INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (task, place)
) WITHOUT ROWID;

PRAGMA user_version = 1;
