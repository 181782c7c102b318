-- Format 2: tenants, and tokens that belong to them.

PRAGMA user_version = 2;

-- Without AUTOINCREMENT the number of a tenant that was removed would be another one's.
CREATE TABLE tenants (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  -- Quotas and the like, as the daemon encodes them.
  details BLOB NOT NULL
);
-- Whose all tasks are that were there before.
INSERT INTO tenants VALUES (0, 'default', x'');

CREATE TABLE tokens (
  name TEXT PRIMARY KEY,
  -- SHA-256 of what clients send.
  digest BLOB NOT NULL UNIQUE,
  tenant INTEGER NOT NULL,
  -- The role as a word.
  role TEXT NOT NULL,
  -- Since the Unix epoch.
  created INTEGER NOT NULL
) WITHOUT ROWID;

ALTER TABLE tasks ADD COLUMN tenant INTEGER NOT NULL DEFAULT 0;
DROP INDEX tasks_name;
CREATE UNIQUE INDEX tasks_name ON tasks (tenant, name) WHERE name IS NOT NULL;
-- Tasks of the default tenant are found by their numbers.
CREATE INDEX tasks_tenant ON tasks (tenant, id) WHERE tenant <> 0;
