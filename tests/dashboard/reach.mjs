// Who reaches what: addresses, the keyboard, those who hear the page or see it otherwise.

import assert from "node:assert/strict";

import { addRow, ask, chooseFile, faults, focusIs, guest, open, openForm, openGroup, origin, paneIs, sendForm, taskIn, test, text, token, until, upload } from "./harness.mjs";

async function sleeper(more = {}) {
  const { body } = await ask("POST", "/v1/tasks", { module: await upload("ex_sleeper"), program: "x", args: ["3600"], ...more });
  await taskIn(body.id, "hibernated");
  return body.id;
}

const shows = (page, id) => until(page, (id) => document.querySelector("#pane-number").textContent.startsWith(`Task ${id} `), id);
const closed = (page) => until(page, () => document.querySelector("#pane").hidden);
const link = (id) => `#tasks tr[data-id="${id}"] a`;

await test("a task has an address, and the browser's buttons lead back and forth", async (page) => {
  const [first, second] = [await sleeper(), await sleeper({ name: "second" })];
  await open(page);
  await page.waitForSelector(link(first));
  await page.click(link(first));
  await shows(page, first);
  assert.equal(page.url(), `${origin}/#task=${first}`);
  await page.click(link(second));
  await shows(page, second);
  assert.equal(await page.title(), `Task ${second} second · dormouse`);
  await page.goBack();
  await shows(page, first);
  await page.goBack();
  await closed(page);
  assert.equal(await page.title(), "dormouse");
  await page.goForward();
  await shows(page, first);
  await page.click("#pane-close");
  await closed(page);
  assert.equal(new URL(page.url()).hash, "");
  await page.goBack();
  await shows(page, first);
});

await test("an address can be shared: it asks who has no token, and then shows the task", async (page) => {
  const id = await sleeper({ name: "shared" });
  await page.goto(`${origin}/#task=shared&state=hibernated`);
  await page.waitForSelector("#token[open]");
  assert.equal(await page.$eval("#pane", (pane) => pane.hidden), true);
  await page.type("#token [name=token]", token);
  await page.keyboard.press("Enter");
  await shows(page, id);
  assert.equal(await text(page, "#filter"), "only hibernated");
  await page.reload();
  await shows(page, id);
});

await test("a token and a task in one address: the token goes, the task stays", async (page) => {
  const id = await sleeper();
  await open(page, `task=${id}`);
  await shows(page, id);
  assert.equal(page.url(), `${origin}/#task=${id}`);
});

await test("states and pages are in the address", async (page) => {
  await ask("POST", "/v1/batch", [{ module: await upload("ex_sleeper"), program: "x", args: ["360000"], count: 60 }]);
  await open(page);
  await page.click("#states button.hibernated");
  await until(page, () => document.querySelector("#filter").textContent === "only hibernated");
  assert.equal(new URL(page.url()).hash, "#state=hibernated");
  await until(page, () => !document.querySelector("#older").disabled);
  const top = await text(page, "#tasks tr a");
  await page.click("#older");
  await until(page, (top) => Number(document.querySelector("#tasks tr a").textContent) < Number(top), top);
  assert.match(new URL(page.url()).hash, /^#state=hibernated&before=\d+$/);
  await page.goBack();
  await until(page, (top) => document.querySelector("#tasks tr a").textContent === top, top);
  await page.goBack();
  await until(page, () => document.querySelector("#filter").textContent === "");
});

await test("an address that leads nowhere says so", async (page) => {
  await open(page, "task=no-such-task");
  await until(page, () => document.querySelector("#pane-number").textContent === "There is no task no-such-task");
  assert.equal((await page.$$("#actions button")).length, 0);
  await page.keyboard.press("Escape");
  await closed(page);
  await open(page, `state=${encodeURIComponent("<b>nonsense\u202e")}`);
  await until(page, () => !document.querySelector("#alert").hidden);
  assert.equal(await text(page, "#filter"), "only <b>nonsense\\u202e");
});

await test("a task is opened, paused and closed by the keyboard alone", async (page) => {
  const id = await sleeper();
  await open(page);
  await page.waitForSelector(link(id));
  // From the top of the page, Tab leads to the newest task.
  for (let step = 0; (await page.evaluate(() => document.activeElement.closest("#tasks tr")?.dataset.id)) !== String(id); step++) {
    assert.ok(step < 60, "Tab leads to the task");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await shows(page, id);
  await focusIs(page, "pane-title");
  for (let step = 0; (await page.evaluate(() => document.activeElement.textContent)) !== "Pause"; step++) {
    assert.ok(step < 10, "Tab leads to what can be done");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await paneIs(page, "paused");
  // The button is gone from use; the focus is not lost with it.
  await focusIs(page, "pane-title");
  await until(page, (id) => document.querySelector("#said").textContent === `Task ${id} is paused`, id);
  await page.keyboard.press("Escape");
  await closed(page);
  await until(page, (id) => document.activeElement.closest("tr")?.dataset.id === String(id), id);
  // Up and down, from task to task.
  await page.keyboard.press("ArrowDown");
  const below = await page.evaluate(() => Number(document.activeElement.textContent));
  assert.ok(below < id);
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), String(id));
});

await test("a task is submitted by the keyboard alone, and Escape leaves the form", async (page) => {
  await open(page);
  await page.focus("#open-submit");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#submit[open]");
  await page.keyboard.press("Escape");
  await until(page, () => !document.querySelector("#submit").open);
  await focusIs(page, "open-submit");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#submit[open]");
  await chooseFile(page, guest("c_hello_sleep"));
  await page.focus("#submit [name=args]");
  await page.keyboard.type("x");
  await page.keyboard.press("Enter");
  await paneIs(page, "exited");
  await focusIs(page, "pane-title");
});

await test("focus and selection stay while the page is asked again each second", async (page) => {
  const id = await sleeper();
  await open(page, `task=${id}`);
  await paneIs(page, "hibernated");
  await page.waitForSelector(link(id));
  await page.focus(link(id));
  const before = await page.evaluateHandle((link) => document.querySelector(link), link(id));
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("#fields dd")));
  const chosen = await page.evaluate(() => String(getSelection()));
  let asked = 0;
  page.on("response", (answer) => (asked += answer.url().endsWith("/v1/stats")));
  while (asked < 3) await new Promise((resolve) => setTimeout(resolve, 50));
  await until(page, () => true);
  assert.equal(await page.evaluate((before) => before.isConnected && before === document.activeElement, before), true);
  assert.equal(await page.evaluate(() => String(getSelection())), chosen);
});

await test("on a phone the pane covers the page, and nothing under it is reached", async (page) => {
  const id = await sleeper();
  await page.setViewport({ width: 390, height: 800 });
  await open(page, `task=${id}`);
  await shows(page, id);
  const covered = await page.evaluate(() => [document.querySelector("#page").inert, document.querySelector("#head").inert,
    document.documentElement.scrollWidth <= 390]);
  assert.deepEqual(covered, [true, true, true]);
  await page.click("#pane-close");
  await closed(page);
  assert.equal(await page.$eval("#page", (main) => main.inert), false);
  await openForm(page);
  await chooseFile(page, guest("c_hello_sleep"));
  for (const group of ["Files", "Limits"]) await openGroup(page, group);
  await addRow(page, "mounts", {});
  await addRow(page, "limits", {});
  const wide = await page.$eval("#submit", (dialog) => dialog.scrollWidth - dialog.clientWidth);
  assert.ok(wide <= 0, `${wide} pixels too wide`);
});

for (const scheme of ["light", "dark"]) {
  await test(`axe finds nothing wrong with the page, a task and the form: ${scheme}`, async (page) => {
    await page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    const { body: task } = await ask("POST", "/v1/tasks", {
      module: await upload("ex_spin", "?preempt=true"), program: "spin", args: ["100000"], limits: { cpu: "100ms" }, on_limit: "pause",
    });
    await taskIn(task.id, "paused");
    await open(page);
    await page.waitForSelector(link(task.id));
    await page.click("#states button.paused");
    await until(page, () => document.querySelector("#filter").textContent === "only paused");
    assert.deepEqual(await faults(page), []);
    await page.click(link(task.id));
    await paneIs(page, "paused");
    await page.waitForSelector("#raise .row select");
    assert.deepEqual(await faults(page), []);
    await openForm(page);
    await chooseFile(page, guest("c_hello_sleep"));
    for (const group of ["Files", "Network", "Limits", "Schedule", "Time and random numbers"]) await openGroup(page, group);
    for (const list of ["mounts", "tmpfs", "limits"]) await addRow(page, list, {});
    await page.type("#submit [name=every]", "whenever");
    await sendForm(page);
    await page.waitForSelector("#submit .note");
    assert.deepEqual(await faults(page), []);
  });
}

await test("parts of the page have their names and roles", async (page) => {
  const id = await sleeper({ name: "named" });
  await open(page, `task=${id}`);
  await paneIs(page, "hibernated");
  // The list is filled after the pane.
  await page.waitForSelector(`#tasks tr[data-id="${id}"] a[aria-label]`);
  const { children } = await page.accessibility.snapshot({ interestingOnly: false }).then((root) => {
    const all = [];
    const walk = (node) => {
      all.push({ role: node.role, name: node.name ?? "" });
      (node.children ?? []).forEach(walk);
    };
    walk(root);
    return { children: all };
  });
  const has = (role, name) => {
    const found = children.filter((node) => node.role === role).map((node) => node.name);
    assert.ok(found.some((found) => name.test(found)), `${role} ${name}: ${found.join(" | ")}`);
  };
  has("complementary", new RegExp(`^Task ${id} named hibernated$`));
  has("group", /What to do with the task/);
  has("log", /Output/);
  has("table", /Tasks/);
  has("link", new RegExp(`^Task ${id}, hibernated$`));
  has("image", /^Wake-ups ahead: .* due/);
  has("button", /^Close$/);
  has("navigation", /Pages/);
});

await test("nothing moves for those who want it so", async (page) => {
  const animated = () =>
    page.evaluate(() => document.querySelectorAll("*").length && [...document.querySelectorAll("aside, dialog, button, tr")]
      .filter((element) => {
        const style = getComputedStyle(element);
        return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
      }).length);
  const id = await sleeper();
  await page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "reduce" }]);
  await open(page, `task=${id}`);
  await paneIs(page, "hibernated");
  assert.equal(await animated(), 0);
  await page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "no-preference" }]);
  assert.ok((await animated()) > 0, "it would be seen if something moved");
});
