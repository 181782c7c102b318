-- Schema 1. A later schema is a migration of its own, which adds first, and removes only what no
-- build that is still allowed to run uses (`meta.oldest`).
--
-- Times are nanoseconds of the store's steady clock unless a comment says otherwise; leases of nodes
-- are by the database's own clock, so that the clocks of machines do not matter to them.

-- One row.
CREATE TABLE meta (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  schema integer NOT NULL,
  -- The oldest schema whose builds can use this database.
  oldest integer NOT NULL,
  -- Tells the steady clock of one store from another's.
  number bigint NOT NULL,
  -- The highest number that any task has or had, or that a node has taken for one.
  last_task bigint NOT NULL
);
INSERT INTO meta VALUES (true, 1, 1, (random() * 9e18)::bigint, 0);

-- The daemons that may change the store now. Whoever's row is gone can change nothing any more: each
-- commit and each claim locks its own row.
CREATE SEQUENCE incarnations;
CREATE TABLE nodes (
  -- Never used again.
  id bigint PRIMARY KEY DEFAULT nextval('incarnations'),
  name text NOT NULL,
  -- The same for each incarnation of a node.
  home integer NOT NULL,
  lasts interval NOT NULL,
  expires timestamptz NOT NULL,
  -- Since when it has beaten without a gap.
  since timestamptz NOT NULL
);

-- The last commits of each node, so that a commit whose answer was lost is found again. A row is added
-- at each commit and none is updated: a row that is updated at each commit has thousands of dead
-- versions while a backup holds its snapshot.
CREATE TABLE commits (
  node bigint NOT NULL,
  number bigint NOT NULL,
  -- What became of each step: the number of a verdict.
  verdicts smallint[] NOT NULL,
  -- What the clocks showed.
  now bigint NOT NULL,
  ahead bigint NOT NULL,
  realtime bigint NOT NULL,
  boot bigint,
  booted bigint,
  PRIMARY KEY (node, number)
);

-- Modules, and snapshots that others are compressed against.
CREATE TABLE blobs (
  digest bytea PRIMARY KEY,
  -- When it was last put.
  put bigint NOT NULL,
  size bigint NOT NULL,
  pack bigint,
  -- Nothing referred to it a moment ago. Whatever refers to it now takes that back.
  doomed boolean NOT NULL DEFAULT false
);
-- Their bytes, at most 1 MiB in a row. Parts of a blob that is not in `blobs` are on their way there.
CREATE TABLE blob_parts (
  digest bytea NOT NULL,
  number integer NOT NULL,
  put bigint NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (digest, number)
);
ALTER TABLE blob_parts ALTER bytes SET STORAGE EXTERNAL;

CREATE TABLE tasks (
  id bigint PRIMARY KEY,
  -- Whose it is.
  tenant bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL,
  -- The index of the state in `TaskState::ALL`.
  state smallint NOT NULL,
  due bigint,
  -- What `due` is computed from, where that is the wall clock; NULL else.
  steady bigint,
  wall bigint,
  -- What a node must offer to run it.
  class integer NOT NULL DEFAULT 0,
  -- The node that has it; 0 is nobody.
  owner bigint NOT NULL DEFAULT 0,
  -- The home of the node that had it last.
  home integer NOT NULL DEFAULT 0,
  -- Asleep, and its owner keeps its sockets; nobody sets it so far.
  kept boolean NOT NULL DEFAULT false,
  name text,
  module bytea NOT NULL,
  base bytea,
  log_next bigint NOT NULL DEFAULT 0,
  log_bytes bigint NOT NULL DEFAULT 0,
  -- Since when the task is over; NULL while it is not.
  ended bigint,
  spec bytea NOT NULL,
  status bytea NOT NULL,
  snapshot bytea,
  pack bigint
);
-- Snapshots are compressed already.
ALTER TABLE tasks ALTER snapshot SET STORAGE EXTERNAL;
-- Each wake-up writes two versions of a row, so that few indexes are affordable.
CREATE INDEX tasks_due ON tasks (class, due, id) WHERE owner = 0 AND due IS NOT NULL;
CREATE INDEX tasks_owner ON tasks (owner) WHERE owner <> 0;
CREATE UNIQUE INDEX tasks_name ON tasks (tenant, name) WHERE name IS NOT NULL;
CREATE INDEX tasks_wall ON tasks (id) WHERE wall IS NOT NULL;
CREATE INDEX tasks_ended ON tasks (ended, id) WHERE ended IS NOT NULL;
CREATE INDEX tasks_pack ON tasks (pack) WHERE pack IS NOT NULL;

CREATE TABLE output (
  task bigint NOT NULL,
  -- Counts the task's pieces from 0.
  sequence bigint NOT NULL,
  -- 1 is standard output, 2 is standard error.
  stream smallint NOT NULL CHECK (stream IN (1, 2)),
  -- Since the Unix epoch.
  time bigint NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (task, sequence)
);

-- What is remembered of tasks that move from one store to another.
CREATE TABLE moves (
  id bytea PRIMARY KEY,
  task bigint NOT NULL,
  -- The index of the phase in `MovePhase::ALL`.
  phase smallint NOT NULL,
  peer bytea NOT NULL,
  details bytea NOT NULL
);
CREATE INDEX moves_task ON moves (task);

-- Snapshots of large guests, in chunks. A pack belongs to one task or to one blob. When that names
-- another pack or is deleted, the pack is dead, and its chunks are deleted a few at a time.
CREATE TABLE chunks (
  pack bigint NOT NULL,
  number integer NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (pack, number)
);
ALTER TABLE chunks ALTER bytes SET STORAGE EXTERNAL;
CREATE TABLE dead (pack bigint PRIMARY KEY);

CREATE FUNCTION bury_pack() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO dead VALUES (OLD.pack) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER tasks_pack_replaced AFTER UPDATE OF pack ON tasks FOR EACH ROW
  WHEN (OLD.pack IS NOT NULL AND OLD.pack IS DISTINCT FROM NEW.pack) EXECUTE FUNCTION bury_pack();
CREATE TRIGGER tasks_pack_gone AFTER DELETE ON tasks FOR EACH ROW
  WHEN (OLD.pack IS NOT NULL) EXECUTE FUNCTION bury_pack();
CREATE TRIGGER blobs_pack_gone AFTER DELETE ON blobs FOR EACH ROW
  WHEN (OLD.pack IS NOT NULL) EXECUTE FUNCTION bury_pack();
