-- Format 4: snapshots of large guests in chunks. The upper bits of a chunk's number are its pack, the lower 20 its
-- place in it. A pack belongs to one task or one blob; when that names another or goes, the pack is dead, and its rows
-- go a few at a time.
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL
);
CREATE TABLE dead (pack INTEGER PRIMARY KEY);

ALTER TABLE tasks ADD COLUMN pack INTEGER;
ALTER TABLE blobs ADD COLUMN pack INTEGER;
CREATE INDEX tasks_pack ON tasks (pack) WHERE pack IS NOT NULL;

CREATE TRIGGER tasks_pack_replaced AFTER UPDATE OF pack ON tasks
WHEN old.pack IS NOT NULL AND old.pack IS NOT new.pack
BEGIN INSERT OR IGNORE INTO dead VALUES (old.pack); END;
CREATE TRIGGER tasks_pack_gone AFTER DELETE ON tasks WHEN old.pack IS NOT NULL
BEGIN INSERT OR IGNORE INTO dead VALUES (old.pack); END;
CREATE TRIGGER blobs_pack_gone AFTER DELETE ON blobs WHEN old.pack IS NOT NULL
BEGIN INSERT OR IGNORE INTO dead VALUES (old.pack); END;

PRAGMA user_version = 4;
