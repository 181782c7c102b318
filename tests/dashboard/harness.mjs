// A daemon, a Chromium, and what all tests of the dashboard use.
//
// usage: node test.mjs DORMOUSE [FOLDER_FOR_SCREENSHOTS]

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The driver lies in a folder of its own, beside the checkout.
const require = createRequire(join(process.env.DORMOUSE_DASHBOARD_MODULES ?? process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");

/** The rules of accessibility, from those who have made a trade of them. */
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const here = dirname(fileURLToPath(import.meta.url));
export const guest = (name) => join(here, "../../wasm/bin", `${name}.wasm`);
/** A component that `make setup` has made. */
export const component = (name) =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "dormouse/programs", `${name}.component.wasm`);
const [dormouse, pictures] = process.argv.slice(2);
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";

export const data = mkdtempSync(join(tmpdir(), "dormouse-dashboard-"));

/** A daemon with its data in a folder. */
export function launch(folder, options = []) {
  chmodSync(folder, 0o700);
  const daemon = spawn(dormouse, ["serve", "--data", folder, "--listen", "127.0.0.1:0", "--grace", "1s", ...options], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  return new Promise((resolve, reject) => {
    let said = "";
    daemon.on("exit", (code) => reject(new Error(`the daemon ended with ${code}: ${said}`)));
    daemon.stderr.on("data", (bytes) => {
      said += bytes;
      const found = /dashboard  (http:\/\/([^/]+)\/#token=(\w+))/.exec(said);
      if (found) resolve({ daemon, url: found[1], origin: `http://${found[2]}`, token: found[3] });
    });
  });
}

export const { daemon, url, origin, token } = await launch(data);
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox"] });
let failed = 0;
let passed = 0;

/** Most is waited for within milliseconds; a machine with ten times the work is waited for as well. */
const PATIENCE = 120_000;

export async function test(name, run) {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.setDefaultTimeout(PATIENCE);
  await page.setViewport({ width: 1300, height: 850 });
  try {
    await run(page);
    assert.deepEqual(errors, []);
    console.log(`ok   ${name}`);
    passed++;
  } catch (error) {
    console.log(`FAIL ${name}\n${error.stack}\n${errors.join("\n")}`);
    failed++;
  }
  if (pictures) await page.screenshot({ path: join(pictures, `${name.replaceAll(/\W+/g, "-")}.png`) });
  await page.close();
}

/** Says what was found, and ends. */
export async function end() {
  await browser.close();
  daemon.kill("SIGKILL");
  rmSync(data, { recursive: true, force: true });
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
export const until = (page, look, ...given) => page.waitForFunction(look, { timeout: PATIENCE }, ...given);
export const paneIs = (page, state) => until(page, (state) => document.querySelector("#pane-title .state")?.textContent === state, state);
export const logsHave = (page, what) => until(page, (what) => document.querySelector("#logs").textContent.includes(what), what);
/** What has the focus: its id, else its text. */
export const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
export const focusIs = (page, what) =>
  until(page, (what) => (document.activeElement.id || document.activeElement.textContent) === what, what);

export async function press(page, name) {
  await until(page, (name) => [...document.querySelectorAll("#actions button")].some((b) => b.textContent === name && !b.disabled), name);
  await page.evaluate((name) => [...document.querySelectorAll("#actions button")].find((b) => b.textContent === name).click(), name);
}

/** Opens the page, with the token, at an address. */
export async function open(page, hash = "") {
  await page.goto(`${url}${hash && `&${hash}`}`);
  await until(page, () => !document.querySelector("#page").hidden);
}

export async function openForm(page) {
  await page.click("#open-submit");
  await page.waitForSelector("#submit[open]");
}

export const chooseFile = async (page, path) => (await page.$("input[name=file]")).uploadFile(path);
export const sendForm = (page) => page.click("#submit-go");

/** Opens the group of the form that is called so. */
export const openGroup = (page, name) =>
  page.evaluate((name) => {
    [...document.querySelectorAll("#submit details")].find((group) => group.querySelector("summary").textContent === name).open = true;
  }, name);

/** Adds a row to a list of the form and writes into it. */
export async function addRow(page, list, values, form = "#submit-form") {
  const rows = `${form} [data-list=${list}] .rows > *`;
  const before = (await page.$$(rows)).length;
  await page.click(`${form} [data-list=${list}] .add`);
  await until(page, (rows, before) => document.querySelectorAll(rows).length > before, rows, before);
  await fillRow(page, (await page.$$(rows)).at(-1), values);
}

export async function fillRow(page, row, values) {
  for (const [key, value] of Object.entries(values)) {
    const input = await row.$(`[data-key=${key}]`);
    const isSelect = await input.evaluate((element) => element.tagName === "SELECT");
    if (isSelect) await input.select(value);
    else await input.type(value);
  }
}

/** Submits a module with these fields of the form. */
export async function submit(page, name, fields = {}) {
  await until(page, () => !document.querySelector("#page").hidden);
  await openForm(page);
  await chooseFile(page, guest(name));
  for (const [field, value] of Object.entries(fields)) await page.type(`#submit [name=${field}]`, value);
  await sendForm(page);
}

/** Asks the daemon's API. */
export async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  const isJson = body !== undefined && !(body instanceof Uint8Array);
  if (isJson) headers["Content-Type"] = "application/json";
  const answer = await fetch(`${origin}${path}`, { method, headers, body: isJson ? JSON.stringify(body) : body });
  const told = await answer.text();
  return { status: answer.status, body: told && JSON.parse(told) };
}

export async function upload(name, query = "") {
  return (await ask("PUT", `/v1/modules${query}`, readFileSync(guest(name)))).body.module;
}

/** A task of the API's; waits until it is in a state. */
export async function taskIn(id, ...states) {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE; ) {
    const { body } = await ask("GET", `/v1/tasks/${id}`);
    if (states.includes(body.state)) return body;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`task ${id} is not ${states.join(" or ")}`);
}

/** What the command prints. */
export const command = (...words) =>
  execFileSync(dormouse, words, { encoding: "utf8", env: { ...process.env, DORMOUSE_URL: `http://${token}@${new URL(origin).host}` } });

/** What axe finds wrong with what is shown, in a few words each. */
export async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, any }) => `${id}: ${target} ${any[0]?.message ?? ""}`));
}
