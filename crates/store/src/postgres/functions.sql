-- What changes the store. Each function is called alone, so that it is one transaction and one round
-- trip, and so that a daemon that is stopped in the middle holds no lock.
--
-- The number in a name is that of the schema that made it: builds of two schemas run side by side
-- while a cluster is upgraded.
--
-- Errors of its own: DM001 is that the node is not one any more, DM002 that parts of a blob are not
-- there, DM003 that the base of a snapshot is not there.

-- Locks the row of a node against deletion.
CREATE FUNCTION hold_1(me bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM nodes WHERE id = me FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'this node is not one any more' USING ERRCODE = 'DM001';
  END IF;
END $$;

-- Remembers a commit, and what the clocks showed.
CREATE FUNCTION note_1(me bigint, seq bigint, verdicts smallint[], stamp bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO commits
    VALUES (me, seq, verdicts, stamp[1], stamp[2], stamp[3], stamp[4], stamp[5]);
  -- Only the last ones can be in doubt, and few are at one time.
  IF seq % 256 = 0 THEN
    DELETE FROM commits WHERE node = me AND number < seq - 256;
  END IF;
END $$;

-- Whether a blob is there. It stays from now on.
CREATE FUNCTION keep_blob_1(wanted bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  is_doomed boolean;
BEGIN
  SELECT doomed INTO is_doomed FROM blobs WHERE digest = wanted;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF is_doomed THEN
    UPDATE blobs SET doomed = false WHERE digest = wanted;
    RETURN FOUND;
  END IF;
  RETURN true;
END $$;

CREATE FUNCTION keep_base_1(wanted bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF wanted IS NOT NULL AND NOT keep_blob_1(wanted) THEN
    RAISE EXCEPTION 'a snapshot refers to blob %, which is not there', left(encode(wanted, 'hex'), 12)
      USING ERRCODE = 'DM003';
  END IF;
END $$;

-- Drops a task's oldest output, at least so many bytes.
CREATE FUNCTION rotate_1(task_id bigint, excess bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  piece record;
  dropped bigint := 0;
  last bigint;
BEGIN
  FOR piece IN SELECT sequence, octet_length(bytes) AS size FROM output
               WHERE task = task_id ORDER BY sequence LOOP
    EXIT WHEN dropped >= excess;
    dropped := dropped + piece.size;
    last := piece.sequence;
  END LOOP;
  DELETE FROM output WHERE task = task_id AND sequence <= last;
  UPDATE tasks SET log_bytes = log_bytes - dropped WHERE id = task_id;
END $$;

-- Applies the steps of a batch in their order, and returns the verdict of each: 0 is done, 1 is a
-- conflict, 2 is that the name is taken. A number that has been settled can be used no more.
--
-- Arrays have one element for each step; what it means depends on the kind of the step, see
-- `steps.rs`. A step of the kinds 8 and 9 belongs to the step before it, and is not done where that
-- was refused.
CREATE FUNCTION commit_1(
  me bigint, seq bigint, my_home integer, stamp bigint[],
  kinds smallint[], ids bigint[], versions bigint[], states smallint[], dues bigint[],
  steadies bigint[], walls bigint[], names text[], digests bytea[], bases bytea[],
  packs bigint[], hows smallint[], limits bigint[], helds boolean[],
  texts bytea[], statuses bytea[], snapshots bytea[], ends boolean[],
  firsts integer[], lasts integer[],
  piece_streams smallint[], piece_times bigint[], piece_texts bytea[]
) RETURNS smallint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  far CONSTANT bigint := 9223372036854775807;
  -- The number of `TaskState::Moved`.
  moved CONSTANT smallint := 9;
  clock_now CONSTANT bigint := stamp[1];
  clock_ahead CONSTANT bigint := stamp[2];
  verdicts smallint[] := '{}';
  verdict smallint := 0;
  highest bigint := 0;
  next_piece bigint;
  bytes_now bigint;
  found_one boolean;
  size bigint;
BEGIN
  PERFORM hold_1(me);
  FOR i IN 1..coalesce(cardinality(kinds), 0) LOOP
    CASE kinds[i]
    WHEN 1 THEN -- A new task.
      highest := greatest(highest, ids[i]);
      IF NOT keep_blob_1(digests[i]) THEN
        verdict := 1;
      ELSE
        PERFORM keep_base_1(bases[i]);
        FOR attempt IN 1..2 LOOP
          INSERT INTO tasks (id, version, state, due, steady, wall, owner, home, name, module, base,
              ended, spec, status, snapshot, pack)
            VALUES (ids[i], 1, states[i], dues[i],
              CASE WHEN walls[i] IS NOT NULL THEN steadies[i] END, walls[i],
              CASE WHEN helds[i] THEN me ELSE 0 END, my_home, names[i], digests[i], bases[i],
              CASE WHEN ends[i] THEN clock_now END, texts[i], statuses[i], snapshots[i], packs[i])
            ON CONFLICT DO NOTHING;
          found_one := FOUND;
          EXIT WHEN found_one OR names[i] IS NULL OR attempt = 2;
          -- A task that has moved away loses its name to a new one, whose ID is free.
          UPDATE tasks SET name = NULL WHERE name = names[i] AND tenant = 0 AND state = moved
            AND NOT EXISTS (SELECT 1 FROM tasks other WHERE other.id = ids[i]);
          EXIT WHEN NOT FOUND;
        END LOOP;
        verdict := CASE WHEN found_one THEN 0 ELSE 2 END;
      END IF;
    WHEN 2 THEN -- A task's next version.
      PERFORM keep_base_1(bases[i]);
      UPDATE tasks SET version = version + 1, state = states[i], due = dues[i],
          steady = CASE WHEN walls[i] IS NOT NULL THEN steadies[i] END, wall = walls[i],
          owner = CASE WHEN helds[i] THEN me ELSE 0 END, home = my_home,
          ended = CASE WHEN ends[i] THEN clock_now END,
          spec = coalesce(texts[i], spec), status = statuses[i],
          snapshot = CASE hows[i] WHEN 0 THEN snapshot ELSE snapshots[i] END,
          base = CASE hows[i] WHEN 0 THEN base ELSE bases[i] END,
          pack = CASE hows[i] WHEN 0 THEN pack ELSE packs[i] END,
          log_next = log_next + lasts[i] - firsts[i],
          log_bytes = log_bytes + piece_bytes_1(piece_texts, firsts[i], lasts[i])
        WHERE id = ids[i] AND version = versions[i] AND owner IN (0, me)
        RETURNING log_next, log_bytes INTO next_piece, bytes_now;
      verdict := CASE WHEN FOUND THEN 0 ELSE 1 END;
      IF verdict = 0 AND lasts[i] > firsts[i] THEN
        next_piece := next_piece - (lasts[i] - firsts[i]);
        FOR piece IN firsts[i]..lasts[i] - 1 LOOP
          INSERT INTO output VALUES (ids[i], next_piece + piece - firsts[i], piece_streams[piece],
            piece_times[piece], piece_texts[piece]);
        END LOOP;
        IF bytes_now > limits[i] THEN
          PERFORM rotate_1(ids[i], bytes_now - limits[i]);
        END IF;
      END IF;
    WHEN 3 THEN -- A task is removed.
      DELETE FROM tasks WHERE id = ids[i] AND version = versions[i] AND owner IN (0, me);
      verdict := CASE WHEN FOUND THEN 0 ELSE 1 END;
      IF verdict = 0 THEN
        DELETE FROM output WHERE task = ids[i];
      END IF;
    WHEN 4 THEN -- A blob. One that is there counts as new.
      verdict := 0;
      UPDATE blobs SET put = clock_now, doomed = false WHERE digest = digests[i];
      IF NOT FOUND THEN
        INSERT INTO blobs VALUES (digests[i], clock_now, versions[i], packs[i])
          ON CONFLICT (digest) DO UPDATE SET put = excluded.put, doomed = false;
        IF texts[i] IS NOT NULL THEN
          INSERT INTO blob_parts VALUES (digests[i], 0, clock_now, texts[i])
            ON CONFLICT DO NOTHING;
        END IF;
        SELECT coalesce(sum(octet_length(bytes)), 0) INTO size FROM blob_parts
          WHERE digest = digests[i];
        IF size <> versions[i] THEN
          RAISE EXCEPTION 'parts of blob % are not there', left(encode(digests[i], 'hex'), 12)
            USING ERRCODE = 'DM002';
        END IF;
      END IF;
    WHEN 5 THEN -- A chunk.
      verdict := 0;
      INSERT INTO chunks VALUES (packs[i], versions[i], texts[i])
        ON CONFLICT (pack, number) DO UPDATE SET bytes = excluded.bytes;
    WHEN 6 THEN -- A pack that nothing names.
      verdict := 0;
      INSERT INTO dead VALUES (packs[i]) ON CONFLICT DO NOTHING;
    WHEN 7 THEN -- The wall clock has been set.
      verdict := 0;
      UPDATE tasks SET due = least(coalesce(steady, far), CASE
          WHEN clock_ahead < 0 AND wall > far + clock_ahead THEN far
          ELSE greatest(0, wall - clock_ahead) END)
        WHERE wall IS NOT NULL;
    WHEN 8 THEN -- A move is remembered.
      IF hows[i] = 0 OR verdict = 0 THEN
        verdict := 0;
        PERFORM move_output_1(ids[i], helds[i], firsts[i], lasts[i], piece_streams, piece_times,
          piece_texts);
        INSERT INTO moves VALUES (bases[i], versions[i], states[i], digests[i], texts[i])
          ON CONFLICT (id) DO UPDATE SET task = excluded.task, phase = excluded.phase,
            peer = excluded.peer, details = excluded.details;
      END IF;
    WHEN 9 THEN -- A move is forgotten.
      IF hows[i] = 0 OR verdict = 0 THEN
        verdict := 0;
        PERFORM move_output_1(ids[i], helds[i], firsts[i], lasts[i], piece_streams, piece_times,
          piece_texts);
        DELETE FROM moves WHERE id = bases[i];
      END IF;
    END CASE;
    verdicts[i] := verdict;
  END LOOP;
  IF highest > 0 THEN
    PERFORM raise_ids_3(highest);
  END IF;
  PERFORM note_1(me, seq, verdicts, stamp);
  RETURN verdicts;
END $$;

-- What became of a batch whose answer was lost: its verdicts; none where it was not done, and it will
-- not be done any more, though it may be on its way still.
CREATE FUNCTION settle_1(me bigint, seq bigint, stamp bigint[]) RETURNS smallint[]
LANGUAGE plpgsql AS $$
DECLARE
  given smallint[];
BEGIN
  -- Waits for what is under way.
  PERFORM 1 FROM nodes WHERE id = me FOR UPDATE;
  PERFORM hold_1(me);
  SELECT c.verdicts INTO given FROM commits c WHERE c.node = me AND c.number = seq;
  IF NOT FOUND THEN
    PERFORM note_1(me, seq, '{}', stamp);
  END IF;
  RETURN given;
END $$;

-- Bytes of the pieces from the first to before the last.
CREATE FUNCTION piece_bytes_1(texts bytea[], first integer, last integer) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  size bigint := 0;
BEGIN
  FOR piece IN first..last - 1 LOOP
    size := size + octet_length(texts[piece]);
  END LOOP;
  RETURN size;
END $$;

-- Removes the output of a task that has moved away, or stores that of one that has come.
CREATE FUNCTION move_output_1(task_id bigint, clear boolean, first integer, last integer,
  streams smallint[], times bigint[], texts bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF task_id IS NULL THEN
    RETURN;
  END IF;
  IF clear THEN
    DELETE FROM output WHERE task = task_id;
    UPDATE tasks SET log_bytes = 0 WHERE id = task_id;
  END IF;
  IF last > first THEN
    FOR piece IN first..last - 1 LOOP
      INSERT INTO output VALUES (task_id, piece - first, streams[piece], times[piece],
        texts[piece]);
    END LOOP;
    UPDATE tasks SET log_next = last - first, log_bytes = piece_bytes_1(texts, first, last)
      WHERE id = task_id;
  END IF;
END $$;

-- A daemon takes the store for itself: all other nodes are fenced.
CREATE FUNCTION take_over_1(node_name text, node_home integer, lease_lasts interval, stamp bigint[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  me bigint;
BEGIN
  -- Waits for what the others are committing.
  DELETE FROM nodes;
  DELETE FROM commits;
  me := join_1(node_name, node_home, lease_lasts, stamp);
  UPDATE tasks SET owner = 0, kept = false WHERE owner <> 0;
  -- The last holder may have died before anything named the chunks of a snapshot that it stored.
  INSERT INTO dead
    SELECT DISTINCT c.pack FROM chunks c
    WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.pack = c.pack)
      AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.pack = c.pack)
    ON CONFLICT DO NOTHING;
  RETURN me;
END $$;

-- A daemon becomes one of the nodes.
CREATE FUNCTION join_1(node_name text, node_home integer, lease_lasts interval, stamp bigint[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  me bigint;
BEGIN
  INSERT INTO nodes (name, home, lasts, expires, since)
    VALUES (node_name, node_home, lease_lasts, clock_timestamp() + lease_lasts, clock_timestamp())
    RETURNING id INTO me;
  PERFORM note_1(me, 0, '{}', stamp);
  RETURN me;
END $$;

-- Renews the lease of a node.
CREATE FUNCTION beat_1(me bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE nodes SET
      since = CASE WHEN expires < clock_timestamp() THEN clock_timestamp() ELSE since END,
      expires = clock_timestamp() + lasts
    WHERE id = me;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'this node is not one any more' USING ERRCODE = 'DM001';
  END IF;
END $$;

-- A node gives back what it has, and is none any more.
CREATE FUNCTION leave_1(me bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM nodes WHERE id = me;
  UPDATE tasks SET owner = 0, kept = false WHERE owner = me;
END $$;

-- Fences the nodes whose leases are over, and frees what they had; returns how many tasks. A node
-- whose own lease was over a moment ago fences nobody: it was the database that nobody could reach.
CREATE FUNCTION free_dead_1(me bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  freed bigint;
BEGIN
  PERFORM hold_1(me);
  IF EXISTS (SELECT 1 FROM nodes WHERE id = me AND since + lasts < clock_timestamp()
             AND expires >= clock_timestamp()) THEN
    DELETE FROM nodes WHERE id IN
      (SELECT id FROM nodes WHERE expires < clock_timestamp() FOR UPDATE SKIP LOCKED);
  END IF;
  UPDATE tasks SET owner = 0, kept = false
    WHERE owner <> 0 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = owner);
  GET DIAGNOSTICS freed = ROW_COUNT;
  DELETE FROM commits WHERE NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = node);
  RETURN freed;
END $$;

-- Gives a node tasks that are due: its own ones up to `until_own`, others up to `until_any`.
CREATE FUNCTION claim_1(me bigint, my_home integer, until_own bigint, until_any bigint, room bigint)
RETURNS SETOF tasks LANGUAGE plpgsql AS $$
BEGIN
  PERFORM hold_1(me);
  RETURN QUERY
    WITH chosen AS (
      SELECT t.id FROM tasks t
      WHERE t.class = 0 AND t.owner = 0 AND t.due IS NOT NULL AND t.due <= until_own
        AND (t.home = my_home OR t.due <= until_any)
      ORDER BY t.due, t.id LIMIT room FOR UPDATE SKIP LOCKED)
    UPDATE tasks t SET owner = me FROM chosen WHERE t.id = chosen.id RETURNING t.*;
END $$;

-- Removes chunks of a dead pack, at most so many; says whether there was such a pack.
CREATE FUNCTION sweep_1(me bigint, seq bigint, stamp bigint[], most bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  buried bigint;
  removed bigint;
BEGIN
  SELECT min(d.pack) INTO buried FROM dead d;
  IF buried IS NULL THEN
    RETURN false;
  END IF;
  PERFORM hold_1(me);
  DELETE FROM chunks c WHERE c.pack = buried AND c.number IN
    (SELECT n.number FROM chunks n WHERE n.pack = buried ORDER BY n.number LIMIT most);
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF removed < most THEN
    DELETE FROM dead d WHERE d.pack = buried;
  END IF;
  PERFORM note_1(me, seq, '{}', stamp);
  RETURN true;
END $$;

-- Collection of blobs, in three calls. First those that nothing refers to are doomed.
CREATE FUNCTION doom_1(me bigint, older bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM hold_1(me);
  UPDATE blobs SET doomed = true WHERE put < older AND digest NOT IN
    (SELECT module FROM tasks UNION SELECT base FROM tasks WHERE base IS NOT NULL);
END $$;

-- Then the commits are waited for that have not seen it: each of them locks its node's row.
CREATE FUNCTION wait_for_commits_1() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM nodes FOR UPDATE;
END $$;

-- What is doomed still, is removed.
CREATE FUNCTION prune_1(me bigint, seq bigint, stamp bigint[], older bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  removed bigint;
BEGIN
  PERFORM hold_1(me);
  DELETE FROM blobs WHERE doomed AND put < older AND digest NOT IN
    (SELECT module FROM tasks UNION SELECT base FROM tasks WHERE base IS NOT NULL);
  GET DIAGNOSTICS removed = ROW_COUNT;
  DELETE FROM blob_parts p WHERE p.put < older
    AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = p.digest);
  PERFORM note_1(me, seq, '{}', stamp);
  RETURN removed;
END $$;
