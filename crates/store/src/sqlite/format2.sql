-- Format 2: what is remembered of tasks that move from one store to another.
CREATE TABLE transfers (
  id BLOB PRIMARY KEY,
  task INTEGER NOT NULL,
  step INTEGER NOT NULL,
  peer BLOB NOT NULL,
  note BLOB NOT NULL
) WITHOUT ROWID;

PRAGMA user_version = 2;
