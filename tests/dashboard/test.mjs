// The dashboard in a real Chromium, against a daemon of its own: `make test-dashboard`.
//
// usage: node test.mjs DORMOUSE [FOLDER_FOR_SCREENSHOTS]

import { daemon, end, test, until, url } from "./harness.mjs";

await import("./basics.mjs");
await import("./shown.mjs");
await import("./form.mjs");
await import("./reach.mjs");
await import("./nodes.mjs");

await test("a daemon that is gone is said", async (page) => {
  await page.goto(url);
  await until(page, () => !document.querySelector("#page").hidden);
  daemon.removeAllListeners("exit");
  const gone = new Promise((resolve) => daemon.on("exit", resolve));
  daemon.kill("SIGKILL");
  await gone;
  await until(page, () => document.querySelector("#alert").textContent.includes("does not answer"));
});

await end();
