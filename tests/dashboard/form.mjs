// The form that submits: all of its fields, and what the daemon says of each.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";

import { addRow, ask, chooseFile, component, data, guest, logsHave, open, openForm, openGroup, paneIs, sendForm, taskIn, test, text, until, upload } from "./harness.mjs";

const GROUPS = ["Files", "Network", "Limits", "Schedule", "Time and random numbers"];

async function opened(page, name = "ex_sleeper") {
  await open(page);
  await openForm(page);
  await chooseFile(page, guest(name));
  for (const group of GROUPS) await openGroup(page, group);
}

const numberIn = (page) => new URL(page.url()).hash.slice("#task=".length);

await test("every field of the form reaches the task", async (page) => {
  const host = mkdtempSync(join(data, "all"));
  await opened(page);
  await page.type("#submit [name=args]", `3600 "two words" 'it''s'`);
  await page.type("#submit [name=env]", "A=1\nB=with = sign");
  await page.type("#submit [name=name]", "all-of-it");
  await page.select("#submit [name=engine]", "wasmtime");
  await page.click("#submit [name=preempt]");
  await addRow(page, "mounts", { host, guest: "/work", access: "ro" });
  await addRow(page, "tmpfs", { guest: "/tmp", size: "2M" });
  await addRow(page, "tmpfs", { guest: "/scratch" });
  await page.click("#submit [name=accept_changed_files]");
  await page.type("#submit [name=listen]", "127.0.0.1:0");
  await page.type("#submit [name=allow_connect]", "example.com:443\n10.0.0.0/8:80-90");
  await page.type("#submit [name=allow_listen]", "127.0.0.1:*");
  await page.click("#submit [name=proxy_streams]");
  await addRow(page, "limits", { name: "cpu", value: "10m/d" });
  await addRow(page, "limits", { name: "memory", value: "64M" });
  await page.select("#submit [name=on_limit]", "end");
  await page.type("#submit [name=every]", "30 4 1 1 *");
  await page.select("#submit [name=restart]", "on-failure");
  await page.select("#submit [name=clocks]", "virtual");
  await page.type("#submit [name=random]", "seed=42");
  await sendForm(page);
  await paneIs(page, "hibernated");
  const { body: task } = await ask("GET", `/v1/tasks/${numberIn(page)}`);
  assert.deepEqual([task.name, task.variables], ["all-of-it", ["A", "B"]]);
  const wanted = {
    program: "ex_sleeper.wasm",
    args: ["3600", "two words", "its"],
    engine: "wasmtime",
    mounts: [{ host, guest: "/work", read_only: true }],
    tmpfs: [{ guest: "/tmp", size: 2 << 20 }, { guest: "/scratch", size: 64 << 20 }],
    network: {
      listen: ["127.0.0.1:0"],
      allow_connect: ["example.com:443", "10.0.0.0/8:80-90"],
      allow_listen: ["127.0.0.1:*"],
      proxy_streams: true,
    },
    limits: { cpu: "10m/d", memory: "64M" },
    on_limit: "end",
    schedule: { every: "30 4 1 1 *" },
    restart: "on-failure",
    clocks: "virtual",
    random: "seed=42",
  };
  for (const [key, value] of Object.entries(wanted)) assert.deepEqual(task.spec[key], value, key);
  assert.equal(task.module, await upload("ex_sleeper", "?preempt=true"), "with checks");
  assert.notEqual(task.module, await upload("ex_sleeper"));
  // And the pane shows it.
  const fields = await text(page, "#fields");
  const shown = ["read-only", "/tmp, 2.0 MiB at most", "cpu=10m/d", "at a limitend", "on-failure", "virtual", "seed=42",
    "example.com:443, 10.0.0.0/8:80-90", "127.0.0.1:*", "carried along", "30 4 1 1 *"];
  for (const words of shown) assert.ok(fields.includes(words), `${words} in ${fields}`);
});

await test("a component answers requests where the form says, each by an instance", async (page) => {
  await open(page);
  await openForm(page);
  await chooseFile(page, component("example-http"));
  await openGroup(page, "Network");
  await page.type("#submit [name=http]", "127.0.0.1:0");
  await page.click("#submit [name=per_request]");
  await sendForm(page);
  await paneIs(page, "hibernated");
  const { body: task } = await ask("GET", `/v1/tasks/${numberIn(page)}`);
  assert.deepEqual(task.spec.network, { http: "127.0.0.1:0", per_request: true });
  const fields = await text(page, "#fields");
  assert.ok(fields.includes("127.0.0.1:0, by an instance for each request"), fields);
});

await test("a task starts when it is told to", async (page) => {
  await opened(page);
  await page.$eval("#submit [name=at]", (input) => (input.value = "2100-01-31T12:00:05"));
  await sendForm(page);
  await paneIs(page, "hibernated");
  const { body: task } = await ask("GET", `/v1/tasks/${numberIn(page)}`);
  const wanted = await page.evaluate(() => new Date("2100-01-31T12:00:05").getTime());
  assert.equal(new Date(task.wakes).getTime(), wanted);
});

await test("values of the environment reach the guest, with what they hold", async (page) => {
  await opened(page, "c_args_env");
  await page.type("#submit [name=env]", "Q=a=b c\nEMPTY=");
  await page.type("#submit [name=args]", String.raw`a\ b "c \" d" '$e'`);
  await sendForm(page);
  await paneIs(page, "exited");
  await logsHave(page, "Q=a=b c");
  for (const line of ["args 3", "<a b>", '<c " d>', "<$e>", "EMPTY="]) await logsHave(page, line);
});

await test("many are submitted at once", async (page) => {
  const before = (await ask("GET", "/v1/tasks?limit=1")).body.tasks[0].id;
  await opened(page);
  await page.$eval("#submit [name=count]", (input) => (input.value = "10050"));
  await page.type("#submit [name=args]", "360000");
  await sendForm(page);
  await until(page, () => document.querySelector("#said").textContent.startsWith("10,050 tasks were submitted"));
  assert.equal((await ask("GET", "/v1/tasks?limit=1")).body.tasks[0].id - before, 10_050);
});

// Each with what the API itself says, so that page and daemon cannot drift apart.
const WRONG = [
  ["name", (page) => page.type("#submit [name=name]", "a b"), { name: "a b" }],
  ["every", (page) => page.type("#submit [name=every]", "whenever"), { schedule: { every: "whenever" } }],
  ["every", (page) => page.type("#submit [name=every]", "0 0 30 2 *"), { schedule: { every: "0 0 30 2 *" } }],
  ["at", (page) => page.$eval("#submit [name=at]", (input) => (input.value = "2999-01-01T00:00")), { schedule: { at: "2999-01-01T00:00:00.000Z" } }],
  ["random", (page) => page.type("#submit [name=random]", "dice"), { random: "dice" }],
  ["allow_connect", (page) => page.type("#submit [name=allow_connect]", "example.com:443\nnowhere"), { network: { allow_connect: ["example.com:443", "nowhere"] } }],
  ["allow_listen", (page) => page.type("#submit [name=allow_listen]", "here"), { network: { allow_listen: ["here"] } }],
  ["listen", (page) => page.type("#submit [name=listen]", "here"), { network: { listen: ["here"] } }],
  ["limits value", (page) => addRow(page, "limits", { name: "cpu", value: "ten" }), { limits: { cpu: "ten" } }],
  ["tmpfs size", (page) => addRow(page, "tmpfs", { guest: "/t", size: "much" }), { tmpfs: [{ guest: "/t", size: "much" }] }],
  ["tmpfs size", (page) => addRow(page, "tmpfs", { guest: "/t", size: "65M" }), { tmpfs: [{ guest: "/t", size: "65M" }] }],
  ["tmpfs guest", async (page) => {
    await addRow(page, "tmpfs", { guest: "/t" });
    await addRow(page, "tmpfs", { guest: "/t" });
  }, { tmpfs: [{ guest: "/t" }, { guest: "/t" }] }],
  ["mounts host", (page) => addRow(page, "mounts", { guest: "/w" }), { mounts: [{ host: "", guest: "/w" }] }],
  ["mounts guest", async (page) => {
    await addRow(page, "mounts", { host: "/tmp", guest: "/w" });
    await addRow(page, "mounts", { host: "/srv", guest: "/w" });
  }, { mounts: [{ host: "/tmp", guest: "/w" }, { host: "/srv", guest: "/w" }] }],
];

for (const [field, fill, body] of WRONG) {
  await test(`what the daemon says stands at the field: ${field} ${JSON.stringify(body)}`, async (page) => {
    const uploads = [];
    page.on("request", (request) => request.method() === "PUT" && uploads.push(request.url()));
    const before = (await ask("GET", "/v1/stats")).body.submitted;
    await opened(page);
    await fill(page);
    await sendForm(page);
    await page.waitForSelector("#submit .note");
    const { status, body: told } = await ask("POST", "/v1/tasks?dry_run=true", body);
    assert.equal(status, 400);
    assert.equal(await text(page, "#submit .note"), told.error);
    const found = await page.evaluate(() => {
      const input = document.querySelector("#submit [aria-invalid=true]");
      const list = input.closest("[data-list]");
      const name = list ? `${list.dataset.list} ${input.dataset.key}` : input.name;
      const note = document.getElementById(input.getAttribute("aria-describedby"));
      return { name, focused: input === document.activeElement, note: note.textContent };
    });
    assert.deepEqual(found, { name: field, focused: true, note: told.error });
    // Nothing was submitted, and the module was not even sent.
    assert.equal((await ask("GET", "/v1/stats")).body.submitted, before);
    assert.deepEqual(uploads, []);
  });
}

await test("a field in a closed group is opened when it is wrong, and the form can be put right", async (page) => {
  await open(page);
  await openForm(page);
  await chooseFile(page, guest("c_hello_sleep"));
  await page.$eval("#submit [name=every]", (input) => (input.value = "never"));
  await sendForm(page);
  await page.waitForSelector("#submit .note");
  assert.equal(await page.$eval("#submit [name=every]", (input) => input.closest("details").open), true);
  await page.$eval("#submit [name=every]", (input) => (input.value = ""));
  await sendForm(page);
  await paneIs(page, "exited");
  assert.equal((await page.$$("#submit .note")).length, 0);
});

await test("mistakes of the page's own words stand at their fields", async (page) => {
  await opened(page);
  for (const [name, value] of [["args", "'open"], ["env", "=x"]]) {
    await page.$eval(`#submit [name=${name}]`, (input, value) => (input.value = value), value);
    await sendForm(page);
    await until(page, (name) => document.querySelector("#submit [aria-invalid]")?.name === name, name);
    await page.$eval(`#submit [name=${name}]`, (input) => (input.value = ""));
  }
  await page.type("#submit [name=name]", "one");
  await page.$eval("#submit [name=count]", (input) => (input.value = "2"));
  await sendForm(page);
  await until(page, () => document.querySelector("#submit [aria-invalid]")?.name === "name");
});

await test("a taken name is said at the field before the module is sent", async (page) => {
  await ask("POST", "/v1/tasks", { module: await upload("ex_sleeper"), program: "x", args: ["3600"], name: "taken" });
  await opened(page);
  await page.type("#submit [name=name]", "taken");
  await sendForm(page);
  await page.waitForSelector("#submit .note");
  assert.match(await text(page, "#submit .note"), /"taken" already/);
});

await test("a form that is closed while its module is sent submits nothing", async (page) => {
  const before = (await ask("GET", "/v1/stats")).body.submitted;
  await opened(page);
  await page.setRequestInterception(true);
  let held = null;
  page.on("request", (request) => (request.method() === "PUT" ? (held = request) : request.continue()));
  await sendForm(page);
  while (!held) await new Promise((resolve) => setTimeout(resolve, 10));
  await page.keyboard.press("Escape");
  await until(page, () => !document.querySelector("#submit").open);
  await held.continue().catch(() => {});
  await until(page, () => !document.querySelector("#submit-go").disabled);
  assert.equal((await ask("GET", "/v1/stats")).body.submitted, before);
});

await test("the limits to choose from are those of the daemon", async (page) => {
  const { body: refused } = await ask("POST", "/v1/tasks?dry_run=true", { limits: { nothing: "1" } });
  const known = /there are (.*)$/.exec(refused.error)[1].split(", ");
  const each = await Promise.all(known.map(async (name) =>
    [name, (await ask("POST", "/v1/tasks?dry_run=true", { limits: { [name]: "none" } })).status]));
  const allowed = each.filter(([, status]) => status === 204).map(([name]) => name);
  await opened(page);
  await addRow(page, "limits", {});
  const offered = await page.$$eval("#submit-form [data-list=limits] option", (options) => options.map(({ value }) => value));
  assert.deepEqual(offered, allowed);
  assert.ok(allowed.includes("cpu") && !allowed.includes("stack"));
});
