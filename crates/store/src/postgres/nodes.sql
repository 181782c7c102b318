-- Schema 3: what daemons that share the database need to know of each other.

-- What a node says of itself, as the daemon encodes it: its address, its labels, its load.
ALTER TABLE nodes ADD COLUMN details text NOT NULL DEFAULT '';

-- Numbers of tasks: `last_value` is the highest that any task has or had, or that a node has taken for
-- one. It is a sequence so that new tasks of all nodes do not wait for one row. `meta.last_task` is
-- what it was before, and is used no more.
CREATE SEQUENCE task_ids MINVALUE 0 START 0;
SELECT setval('task_ids', last_task) FROM meta;

-- The lock under which the sequence is set: "task" in ASCII.
CREATE FUNCTION lock_ids_3() RETURNS void LANGUAGE sql AS
  'SELECT pg_advisory_xact_lock(1952543595)';

-- A task has this number, which a daemon that has the store for itself has counted.
CREATE FUNCTION raise_ids_3(highest bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT last_value FROM task_ids) < highest THEN
    PERFORM lock_ids_3();
    IF (SELECT last_value FROM task_ids) < highest THEN
      PERFORM setval('task_ids', highest);
    END IF;
  END IF;
END $$;

-- Numbers for new tasks: so many, up to the one that it returns.
CREATE FUNCTION take_ids_3(me bigint, wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  PERFORM hold_1(me);
  PERFORM lock_ids_3();
  RETURN setval('task_ids', (SELECT last_value FROM task_ids) + wanted);
END $$;

-- Renews the lease of a node, and tells all nodes; of each, whether its lease holds.
CREATE FUNCTION beat_3(me bigint, told text)
RETURNS TABLE (node bigint, node_name text, node_details text, is_alive boolean)
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE nodes SET
      since = CASE WHEN expires < clock_timestamp() THEN clock_timestamp() ELSE since END,
      expires = clock_timestamp() + lasts,
      details = told
    WHERE id = me;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'this node is not one any more' USING ERRCODE = 'DM001';
  END IF;
  RETURN QUERY SELECT n.id, n.name, n.details, n.expires >= clock_timestamp() FROM nodes n
    ORDER BY n.id;
END $$;

-- A node takes over what an earlier one has, which is fenced; returns how many tasks.
CREATE FUNCTION succeed_3(me bigint, earlier bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  taken bigint;
BEGIN
  PERFORM hold_1(me);
  -- Waits for what the other is committing.
  DELETE FROM nodes WHERE id = earlier AND id <> me;
  UPDATE tasks SET owner = me WHERE owner = earlier AND owner <> 0;
  GET DIAGNOSTICS taken = ROW_COUNT;
  RETURN taken;
END $$;
