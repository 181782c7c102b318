// What is shown: names that mean harm, directories, large numbers, and a limit that can be raised.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";

import { addRow, ask, data, faults, fillRow, logsHave, open, paneIs, press, sendForm, openForm, chooseFile, openGroup, command, guest, taskIn, test, text, until, upload } from "./harness.mjs";

// Unicode's own classes: controls, what turns text around or hides it, and separators of lines.
const HIDDEN = String.raw`(?![\u200c\u200d\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]`;

await test("text that turns a line around or hides in it is shown, not obeyed", async (page) => {
  const hostile = "a\u202egnp.exe\u0007\u2066b\u061c\u200bc\u2028d\ufeff\u{e0041}\u001b[31m";
  const module = await upload("c_args_env");
  const { body: task } = await ask("POST", "/v1/tasks", {
    module, program: "x", args: [hostile], env: { "N\u202eX": hostile }, restart: "never",
  });
  await taskIn(task.id, "exited");
  await open(page, `task=${task.id}`);
  await paneIs(page, "exited");
  await logsHave(page, "args 1");
  await logsHave(page, "\\u202egnp.exe\\u0007");
  const found = await page.evaluate((hidden) => {
    const pattern = new RegExp(hidden, "u");
    const wrong = [];
    const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE && pattern.test(node.data)) wrong.push(node.data);
      for (const { value } of node.attributes ?? []) if (pattern.test(value)) wrong.push(value);
    }
    return [...wrong, ...(pattern.test(document.title) ? [document.title] : [])];
  }, HIDDEN);
  assert.deepEqual(found, []);
  const row = await text(page, `#tasks tr[data-id="${task.id}"]`);
  assert.ok(row.includes("a\\u202egnp.exe\\u0007\\u2066b\\u061c\\u200bc\\u2028d\\ufeff\\u{e0041}\\u001b[31m"), row);
  assert.ok((await text(page, "#fields")).includes("N\\u202eX"));
});

await test("letters of all scripts and joined emoji stay as they are", async (page) => {
  const names = ["日本", "فارسی‌ها", "👩‍💻", "ñ é"];
  const { body: task } = await ask("POST", "/v1/tasks", { module: await upload("c_args_env"), program: "x", args: [...names] });
  await open(page, `task=${task.id}`);
  await paneIs(page, "exited");
  assert.ok((await text(page, "#fields")).includes(names.join(" ")));
});

await test("a task that is damaged in the store hides no other, and can be saved and removed alone", async (page) => {
  const module = await upload("ex_sleeper");
  const { body: other } = await ask("POST", "/v1/tasks", { module, args: ["x", "3600"] });
  const { body: task } = await ask("POST", "/v1/tasks", { module, args: ["x", "3600"] });
  for (const { id } of [other, task]) await taskIn(id, "hibernated");
  const damage = `import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("UPDATE tasks SET spec = x'01c1' WHERE id = ?", (sys.argv[2],))`;
  execFileSync("python3", ["-c", damage, join(data, "store.sqlite"), String(task.id)]);
  await open(page, `task=${task.id}`);
  await paneIs(page, "damaged");
  assert.ok((await text(page, "#fields")).includes(`dormouse rm ${task.id}`));
  assert.ok((await text(page, `#tasks tr[data-id="${task.id}"]`)).includes("damaged"));
  assert.ok((await text(page, `#tasks tr[data-id="${other.id}"]`)).includes("hibernated"));
  const enabled = await page.$$eval("#actions button", (all) => all.filter((button) => !button.disabled).map((button) => button.textContent));
  assert.deepEqual(enabled, ["Export", "Remove"]);
  assert.deepEqual(await faults(page), []);
  assert.equal((await ask("DELETE", `/v1/tasks/${task.id}`)).status, 204);
});

await test("a directory to be read only says so, also after an import that says nothing", async (page) => {
  const [free, fixed] = ["free", "fixed"].map((name) => mkdtempSync(join(data, name)));
  const { body: task } = await ask("POST", "/v1/tasks", {
    module: await upload("ex_sleeper"), program: "x", args: ["3600"],
    mounts: [{ host: free, guest: "/free" }, { host: fixed, guest: "/fixed", read_only: true }],
  });
  await taskIn(task.id, "hibernated");
  const said = `${free} as /free, ${fixed} as /fixed, read-only`;
  await open(page, `task=${task.id}`);
  await until(page, (said) => document.querySelector("#fields").textContent.includes(said), said);
  // A snapshot's directory stays read-only where the import does not say.
  const file = join(data, "copy.snapshot");
  command("export", String(task.id), "-o", file);
  await openForm(page);
  await chooseFile(page, file);
  await until(page, () => !document.querySelector("#of-snapshot").hidden);
  await openGroup(page, "Files");
  await addRow(page, "mounts", { host: `${free}::/free` });
  await addRow(page, "mounts", { host: `${fixed}::/fixed` });
  await sendForm(page);
  await until(page, (id) => document.querySelector("#pane-number").textContent.startsWith("Task ") &&
    !document.querySelector("#pane-number").textContent.startsWith(`Task ${id} `), task.id);
  await until(page, (said) => document.querySelector("#fields").textContent.includes(said), said);
});

await test("the form takes HOST::GUEST:ro as the command does", async (page) => {
  const host = mkdtempSync(join(data, "srv"));
  const words = [`${host}::/m:ro`, `${host}::/n:rw`, `${host}::/p`, host, `${host}:ro`];
  for (const word of words) {
    const id = command("submit", "--dir", word, guest("c_hello_sleep")).trim();
    const { body: wanted } = await ask("GET", `/v1/tasks/${id}`);
    await open(page);
    await openForm(page);
    await chooseFile(page, guest("c_hello_sleep"));
    await openGroup(page, "Files");
    await addRow(page, "mounts", { host: word });
    await sendForm(page);
    await paneIs(page, "exited");
    const made = new URL(page.url()).hash.slice("#task=".length);
    assert.ok(Number(made) > Number(id), "the new one is shown");
    const { body: found } = await ask("GET", `/v1/tasks/${made}`);
    assert.deepEqual(found.spec.mounts, wanted.spec.mounts, word);
  }
});

await test("large numbers fit their cards at every width", async (page) => {
  const counts = { hibernated: 100_000, exited: 1_000_000, failed: 12_345_678, ready: 999_999 };
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    if (!request.url().endsWith("/v1/stats")) return request.continue();
    const { body } = await ask("GET", "/v1/stats");
    request.respond({ contentType: "application/json", body: JSON.stringify({ ...body, tasks: counts }) });
  });
  await open(page);
  for (const width of [320, 390, 600, 768, 901, 1024, 1170, 1300, 1920]) {
    await page.setViewport({ width, height: 850 });
    await until(page, () => document.querySelector("button.hibernated strong").textContent === "100,000");
    const wrong = await page.evaluate(() =>
      [...document.querySelectorAll("#states button")].flatMap((card) => {
        const range = document.createRange();
        range.selectNodeContents(card.firstChild);
        const [inner, outer] = [range.getBoundingClientRect(), card.getBoundingClientRect()];
        const fits = inner.left >= outer.left && inner.right <= outer.right - 4 && inner.bottom <= outer.bottom;
        return fits ? [] : [`${card.textContent}: ${inner.right} in ${outer.right}`];
      }));
    assert.deepEqual(wrong, [], `${width} pixels`);
    const page_width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(page_width <= width, `${page_width} of ${width} pixels`);
  }
});

await test("a paused task is given more of what it had reached", async (page) => {
  const { body: task } = await ask("POST", "/v1/tasks", {
    module: await upload("ex_spin", "?preempt=true"), program: "spin", args: ["100000"],
    limits: { cpu: "200ms" }, on_limit: "pause",
  });
  await taskIn(task.id, "paused");
  await open(page, `task=${task.id}`);
  await paneIs(page, "paused");
  assert.match(await text(page, "#fields"), /cpu=200ms/);
  await page.waitForSelector("#raise .row select");
  assert.equal(await page.$eval("#raise [data-key=name]", (select) => select.value), "cpu", "the one that was reached");
  // What the daemon says of a value that is none stands at the field.
  await page.type("#raise [data-key=value]", "soon");
  await page.click("#raise button[type=submit]");
  await page.waitForSelector("#raise .note");
  const { body: refused } = await ask("POST", `/v1/tasks/${task.id}/resume`, { limits: { cpu: "soon" } });
  assert.equal(await text(page, "#raise .note"), refused.error);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.key), "value");
  await page.$eval("#raise [data-key=value]", (input) => (input.value = ""));
  await page.type("#raise [data-key=value]", "1h");
  await page.select("#raise [name=on_limit]", "end");
  await page.click("#raise button[type=submit]");
  await paneIs(page, "running");
  await until(page, () => document.querySelector("#fields").textContent.includes("cpu=1h"));
  assert.equal(await page.$eval("#raise", (form) => form.hidden), true);
  const { body: after } = await ask("GET", `/v1/tasks/${task.id}`);
  assert.deepEqual([after.spec.limits, after.spec.on_limit], [{ cpu: "1h" }, "end"]);
  await press(page, "Kill");
  await page.waitForSelector("#sure[open]");
  await page.click("#sure-yes");
  await paneIs(page, "failed");
});

await test("what was refused stays on the page until it can be read", async (page) => {
  const { body: task } = await ask("POST", "/v1/tasks", { module: await upload("ex_sleeper"), program: "x", args: ["3600"] });
  await taskIn(task.id, "hibernated");
  await open(page, `task=${task.id}`);
  await paneIs(page, "hibernated");
  // Somebody else ends it between the look and the click.
  await page.setRequestInterception(true);
  let held = true;
  page.on("request", (request) => (held && request.url().endsWith(`/tasks/${task.id}`) ? null : request.continue()));
  await ask("POST", `/v1/tasks/${task.id}/kill`);
  await press(page, "Pause");
  await until(page, () => !document.querySelector("#alert").hidden);
  held = false;
  const said = await text(page, "#alert");
  assert.match(said, /cannot be paused/);
  const shownAt = await page.evaluate(() => performance.now());
  await until(page, (at) => performance.now() > at + 2500, shownAt);
  assert.equal(await text(page, "#alert"), said);
});
