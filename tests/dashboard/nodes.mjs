// Nodes that share a real PostgreSQL, one of which is drained and one of which dies.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { faults, launch, test, text, until } from "./harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const installed = "/usr/lib/postgresql";
const versions = existsSync(installed) ? readdirSync(installed).sort((one, other) => Number(one) - Number(other)) : [];
const isRoot = process.getuid() === 0;

/** A PostgreSQL server, which ends when its input does; and the directory of its socket. */
async function database() {
  const programs = join(installed, versions.at(-1), "bin");
  const script = join(here, "../support/src/postgres.sh");
  // The server's user need not be able to read it where it is.
  const words = ["sh", "-c", readFileSync(script, "utf8"), "sh", programs, "-c", "fsync=off"];
  const [name, ...rest] = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", ...words] : words;
  const server = spawn(name, rest, { stdio: ["pipe", "pipe", "inherit"], cwd: "/", env: { ...process.env, PGPORT: "5432" } });
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  server.stdin.write("start\n");
  return { server, socket: (await lines.next()).value };
}

if (!versions.length) {
  console.log("skipped: there is no PostgreSQL for nodes, and only root can install it");
} else {
  const { server, socket } = await database();
  const url = `postgres://postgres@/postgres?host=${encodeURIComponent(socket)}`;
  const folders = ["a", "b"].map(() => mkdtempSync(join(tmpdir(), "dormouse-dashboard-node-")));
  const [a, b] = await Promise.all(["a", "b"].map((name, place) =>
    launch(folders[place], ["--store", url, "--node", name, "--label", `zone=${name}`])));
  const names = (page) => page.$$eval("#nodes tr", (rows) => rows.map((row) => row.children[0].textContent).sort());
  const stands = (page, name, how) =>
    until(page, (name, how) => [...document.querySelectorAll("#nodes tr")].some((row) =>
      row.children[0].textContent.startsWith(name) && row.children[1].textContent === how), name, how);

  await test("nodes are shown with what they do, drained, and gone", async (page) => {
    await page.goto(a.url);
    await stands(page, "a", "alive");
    await stands(page, "b", "alive");
    assert.deepEqual(await names(page), ["a (asked)", "b"]);
    assert.ok((await text(page, "#nodes")).includes("zone=b"));
    assert.deepEqual(await faults(page), []);
    const headers = { Authorization: `Bearer ${a.token}` };
    const drained = await fetch(`${a.origin}/v1/nodes/b/drain`, { method: "POST", headers });
    assert.equal(drained.status, 200);
    await stands(page, "b", "draining");
    await fetch(`${a.origin}/v1/nodes/b/drain`, { method: "DELETE", headers });
    await stands(page, "b", "alive");
    b.daemon.removeAllListeners("exit");
    b.daemon.kill("SIGKILL");
    await until(page, () => document.querySelector("#deaths").textContent.includes("b at "));
    await until(page, () => document.querySelectorAll("#nodes tr").length === 1);
  });

  a.daemon.removeAllListeners("exit");
  a.daemon.kill("SIGKILL");
  server.stdin.end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
