// The same sleep as a handler of Restate's: the server keeps it, this process answers for it.
//
// usage: node restate_sleepers.mjs PORT     prints how many have begun to sleep, and how late each one woke, in ms

import { createRequire } from "node:module";
import { join } from "node:path";
import http2 from "node:http2";

// The SDK wants Node 22's, and Node 20 lacks it.
Promise.withResolvers ??= function () {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

const require = createRequire(join(process.env.RESTATE_MODULES, "package.json"));
const restate = require("@restatedev/restate-sdk");

// A request is accepted long before its handler runs, so that the handlers count.
let asleep = 0;

const sleeper = restate.service({
  name: "sleeper",
  handlers: {
    run: async (ctx, { length }) => {
      // Runs once for each invocation; what follows it, again after each replay.
      const due = await ctx.run("due", () => {
        if (++asleep % 100 === 0) console.log(`asleep ${asleep}`);
        return Date.now() + length * 1000;
      });
      await ctx.sleep(length * 1000);
      console.log(`late ${Date.now() - due}`);
    },
  },
});

const handler = restate.createEndpointHandler({ services: [sleeper] });
http2.createServer(handler).listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
