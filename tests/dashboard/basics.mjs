// Tasks from the form to their end, and what must not be possible.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

import { data, logsHave, origin, paneIs, press, submit, test, text, token, until, url } from "./harness.mjs";

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
  await page.click("#submit-go");
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

