// The same with jobs of pg-boss, which are due later: nothing of them is in memory meanwhile.
//
// usage: node pgboss.cjs URL JOBS RATE SECONDS
//
// Prints how many jobs a second were stored, how many a second ran of as many that were all due at once, and
// how late those ran that were due at a rate.

const { createRequire } = require("node:module");
const { join } = require("node:path");
const PgBoss = createRequire(join(process.env.PG_BOSS_MODULES, "package.json"))("pg-boss");

const BATCH = 1000;
const [url, jobs, rate, seconds] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function insert(boss, queue, count, due) {
  for (let first = 0; first < count; first += BATCH) {
    const many = Array.from({ length: Math.min(BATCH, count - first) }, (_, place) => {
      const at = due(first + place);
      return { name: queue, data: { due: at }, startAfter: new Date(at) };
    });
    await boss.insert(many);
  }
}

async function main() {
  const boss = new PgBoss({ connectionString: url, max: 10 });
  boss.on("error", (error) => console.error(String(error)));
  await boss.start();
  let done = 0;
  const late = [];
  const work = async (queue) => {
    await boss.createQueue(queue);
    const handler = async (found) => {
      const now = Date.now();
      for (const job of found) late.push(now - job.data.due);
      done += found.length;
    };
    const options = { batchSize: 100, pollingIntervalSeconds: 0.5 };
    const workers = [];
    for (let number = 0; number < 4; number++) workers.push(await boss.work(queue, options, handler));
    return workers;
  };

  // Due while nobody works on them.
  await boss.createQueue("herd");
  const guess = Date.now() + 3000 + jobs / 5;
  const begun = Date.now();
  await insert(boss, "herd", jobs, () => guess);
  const starts = jobs / ((Date.now() - begun) / 1000);
  await sleep(Math.max(0, guess - Date.now()));
  await work("herd");
  const first = Date.now();
  while (done < jobs) await sleep(20);
  const wakes = jobs / ((Date.now() - first) / 1000);

  done = 0;
  late.length = 0;
  await work("spread");
  const count = rate * seconds;
  const from = Date.now() + 2000 + (1500 * count) / starts;
  await insert(boss, "spread", count, (number) => from + (number / rate) * 1000);
  while (done < count) await sleep(50);
  late.sort((one, other) => one - other);
  const pick = (part) => late[Math.floor((late.length - 1) * part)];
  console.log(JSON.stringify({ starts_per_second: starts, wakes_per_second: wakes, p50_ms: pick(0.5), p99_ms: pick(0.99), rate }));
  process.exit(0);
}

main();
