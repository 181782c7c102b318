// Behaviour: sleeps through poll_oneoff of the shim's bindings, with values, a class and a callback alive across them.
import {
  clockid,
  clock_time_get,
  event,
  eventtype,
  poll_oneoff,
  subclockflags,
  subscription_clock,
} from "@assemblyscript/wasi-shim/assembly/bindings/wasi_snapshot_preview1";

const sub = memory.data(48, 8);
const got = memory.data(32, 8);
const count = memory.data(8, 8);

function now(): u64 {
  clock_time_get(clockid.MONOTONIC, 1, count);
  return load<u64>(count);
}

// Gives what the program called the sleep, or a negative errno.
function sleep(ms: u64, name: u64): i64 {
  const clock = changetype<subscription_clock>(sub);
  clock.userdata = name;
  clock.type = eventtype.CLOCK;
  clock.clock_id = clockid.MONOTONIC;
  clock.timeout = ms * 1000000;
  clock.precision = 0;
  clock.flags = <subclockflags>0;
  const error = poll_oneoff(sub, got, 1, count);
  if (error != 0) return -(<i64>error);
  return load<u32>(count) == 1 ? <i64>changetype<event>(got).userdata : -1000;
}

class Account {
  history: i32[] = [];

  constructor(public name: string, public amount: f64) {}

  pay(what: f64): Account {
    sleep(4, 1);
    this.amount -= what;
    this.history.push(<i32>what);
    return this;
  }
}

function twice(f: (n: i32) => i32, n: i32): i32 {
  return f(f(n));
}

console.log("hello from AssemblyScript");
let early = 0;
for (let i: u64 = 1; i <= 5; i++) {
  const before = now();
  const name = sleep(5, i * 1000);
  if (now() - before < 5000000) early++;
  console.log(`sleep ${i} gives ${name}`);
}
console.log(`early ${early}`);

const account = new Account("dormouse", 100.5);
account.pay(10).pay(20.25).pay(3);
console.log(`${account.name} has ${account.amount} after ${account.history.join(" and ")}`);

console.log(
  twice((n: i32): i32 => {
    sleep(5, 7);
    return n * 3 + 1;
  }, 5).toString()
);
process.exit(9);
