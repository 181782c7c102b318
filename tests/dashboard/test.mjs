// The dashboard in a real Chromium, against a daemon of its own: `make test-dashboard`.
//
// usage: node test.mjs DORMOUSE [FOLDER_FOR_SCREENSHOTS]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The driver lies in a folder of its own, beside the checkout.
const require = createRequire(join(process.env.DORMOUSE_DASHBOARD_MODULES ?? process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");

const here = dirname(fileURLToPath(import.meta.url));
const guest = (name) => join(here, "../../wasm/bin", `${name}.wasm`);
const [dormouse, pictures] = process.argv.slice(2);
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";

const data = mkdtempSync(join(tmpdir(), "dormouse-dashboard-"));
chmodSync(data, 0o700);

function start() {
  const daemon = spawn(dormouse, ["serve", "--data", data, "--listen", "127.0.0.1:0", "--grace", "1s"], {
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

const { daemon, url, origin, token } = await start();
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox"] });
let failed = 0;
let passed = 0;

async function test(name, run) {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
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

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
const until = (page, look, ...given) => page.waitForFunction(look, { timeout: 20_000 }, ...given);
const paneIs = (page, state) => until(page, (state) => document.querySelector("#pane-title .state")?.textContent === state, state);
const logsHave = (page, what) => until(page, (what) => document.querySelector("#logs").textContent.includes(what), what);

async function press(page, name) {
  await until(page, (name) => [...document.querySelectorAll("#actions button")].some((b) => b.textContent === name && !b.disabled), name);
  await page.evaluate((name) => [...document.querySelectorAll("#actions button")].find((b) => b.textContent === name).click(), name);
}

async function submit(page, name, fields = {}) {
  await until(page, () => !document.querySelector("#page").hidden);
  await page.click("#open-submit");
  await (await page.$("input[name=file]")).uploadFile(guest(name));
  for (const [field, value] of Object.entries(fields)) await page.type(`[name=${field}]`, value);
  await page.click("#submit-form button[type=submit]");
}

await test("without a token nothing is shown, and a form asks for it", async (page) => {
  await page.goto(origin);
  await page.waitForSelector("#token[open]");
  assert.equal(await page.$eval("#page", (main) => main.hidden), true);
  await page.type("[name=token]", "wrong");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#token[open]");
  await page.$eval("[name=token]", (input) => (input.value = ""));
  await page.type("[name=token]", token);
  await page.keyboard.press("Enter");
  await until(page, () => !document.querySelector("#page").hidden);
});

await test("the token leaves the address", async (page) => {
  await page.goto(url);
  await until(page, () => !document.querySelector("#page").hidden);
  assert.equal(page.url(), `${origin}/`);
});

await test("a task is submitted, sleeps, is paused, resumed, and its output is seen", async (page) => {
  await page.goto(url);
  await submit(page, "ex_sleeper", { args: "4 0 '2'", name: "sleeper" });
  await paneIs(page, "hibernated");
  await press(page, "Pause");
  await paneIs(page, "paused");
  await press(page, "Resume");
  await logsHave(page, "round 1");
  await paneIs(page, "exited");
  const row = await text(page, "#tasks tr");
  assert.match(row, /sleeper.*exit code 0/);
  const output = (await text(page, "#logs")).match(/round/g).length;
  assert.equal(output, 2, "each line once");
});

await test("a task is killed and removed after a question", async (page) => {
  await page.goto(url);
  await submit(page, "ex_sleeper", { args: "1000" });
  await paneIs(page, "hibernated");
  await press(page, "Kill");
  await page.waitForSelector("#sure[open]");
  await page.click("#sure button[value=no]");
  await paneIs(page, "hibernated");
  await press(page, "Kill");
  await page.waitForSelector("#sure[open]");
  await page.click("#sure-yes");
  await paneIs(page, "failed");
  await press(page, "Remove");
  await page.waitForSelector("#sure[open]");
  await page.click("#sure-yes");
  await until(page, () => document.querySelector("#pane").hidden);
});

await test("what a guest writes and is called runs nothing", async (page) => {
  await page.goto(url);
  const hostile = `<img src=x onerror=alert(1)>`;
  await submit(page, "c_args_env", { args: `'${hostile}'`, env: `X=<script>alert(2)</script>` });
  await paneIs(page, "exited");
  await logsHave(page, hostile);
  assert.equal((await page.$$("#logs img, #tasks img, #fields img, main script")).length, 0);
});

await test("a module that is none is refused with the reason", async (page) => {
  await page.goto(url);
  await until(page, () => !document.querySelector("#page").hidden);
  const file = join(data, "broken.wasm");
  writeFileSync(file, Buffer.from("\0asm\x01\0\0\0junk", "latin1"));
  await page.click("#open-submit");
  await (await page.$("input[name=file]")).uploadFile(file);
  await page.click("#submit-form button[type=submit]");
  await page.waitForSelector("#submit-state.wrong");
  assert.ok((await text(page, "#submit-state")).length > 10);
});

await test("a page of another origin cannot act", async (page) => {
  const other = createServer((_, answer) => answer.end("<!doctype html><title>other</title>"));
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  await page.goto(`http://127.0.0.1:${other.address().port}/`);
  const outcome = await page.evaluate(
    async (origin, token) => {
      const attempt = async (options) => {
        try {
          return (await fetch(`${origin}/v1/tasks/1/kill`, options)).status;
        } catch {
          return "refused";
        }
      };
      return [
        await attempt({ method: "POST", headers: { Authorization: `Bearer ${token}` } }),
        await attempt({ method: "POST", mode: "no-cors" }),
      ];
    },
    origin,
    token,
  );
  // A request without the header is sent, its answer cannot be read, and it was refused.
  assert.equal(outcome[0], "refused");
  assert.ok([0, "refused"].includes(outcome[1]));
  const framed = await page.evaluate(async (origin) => {
    const frame = document.createElement("iframe");
    frame.src = origin;
    document.body.append(frame);
    await new Promise((resolve) => (frame.onload = resolve));
    return frame.contentDocument === null ? "blocked" : "empty";
  }, origin);
  assert.equal(framed, "blocked");
  other.close();
});

await test("on a phone nothing is wider than the screen", async (page) => {
  await page.setViewport({ width: 390, height: 800 });
  await page.goto(url);
  await until(page, () => !document.querySelector("#page").hidden);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `${width} pixels`);
});

await test("a daemon that is gone is said", async (page) => {
  await page.goto(url);
  await until(page, () => !document.querySelector("#page").hidden);
  daemon.removeAllListeners("exit");
  const gone = new Promise((resolve) => daemon.on("exit", resolve));
  daemon.kill("SIGKILL");
  await gone;
  await until(page, () => document.querySelector("#alert").textContent.includes("does not answer"));
});

await browser.close();
daemon.kill("SIGKILL");
rmSync(data, { recursive: true, force: true });
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
