-- Schema 5: a node gives a task to another one, in the transaction that stores it.

-- Another node has given it to its node, which has not been told so far.
ALTER TABLE tasks ADD COLUMN handed boolean NOT NULL DEFAULT false;
CREATE INDEX tasks_handed ON tasks (owner) WHERE handed;

-- The same as `claim_4`. Tasks that were given to the node come beside those that are due.
CREATE FUNCTION claim_5(me bigint, my_home integer, served integer[], until_own bigint,
  until_any bigint, room bigint
) RETURNS SETOF tasks LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT * FROM claim_4(me, my_home, served, until_own, until_any, room);
  RETURN QUERY UPDATE tasks t SET handed = false WHERE t.owner = me AND t.handed RETURNING t.*;
END $$;

-- A step of the kind 10 belongs to the update before it, which makes the task nobody's: it is a node's
-- then, or nobody's and goes on there first. A node that is none any more is given nothing.
DO $patch$
DECLARE
  patched text := replace(replace(pg_get_functiondef('commit_1'::regproc),
    'THEN me ELSE 0 END, home = my_home,', 'THEN me ELSE 0 END, home = my_home, handed = false,'),
    '    END CASE;
    verdicts[i] := verdict;', '    WHEN 10 THEN -- The task is given to a node.
      IF verdict = 0 THEN
        UPDATE tasks t SET home = n.home, handed = helds[i],
            owner = CASE WHEN helds[i] THEN n.id ELSE 0 END
          FROM nodes n WHERE n.id = versions[i] AND t.id = ids[i];
      END IF;
    END CASE;
    verdicts[i] := verdict;');
BEGIN
  IF patched NOT LIKE '%handed = false,%' OR patched NOT LIKE '%WHEN 10 THEN%' THEN
    RAISE EXCEPTION 'commit_1 is not the one of the schema before';
  END IF;
  EXECUTE patched;
END $patch$;
