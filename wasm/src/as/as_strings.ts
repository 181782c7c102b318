// Behaviour: strings, arrays, maps and sets of the collected heap, with garbage made and collected between sleeps.
import {
  clockid,
  eventtype,
  poll_oneoff,
  subscription_clock,
} from "@assemblyscript/wasi-shim/assembly/bindings/wasi_snapshot_preview1";

const sub = memory.data(48, 8);
const got = memory.data(32, 8);
const count = memory.data(8, 8);

function nap(): void {
  const clock = changetype<subscription_clock>(sub);
  clock.userdata = 0;
  clock.type = eventtype.CLOCK;
  clock.clock_id = clockid.MONOTONIC;
  clock.timeout = 5000000;
  clock.precision = 0;
  clock.flags = 0;
  if (poll_oneoff(sub, got, 1, count) != 0) unreachable();
}

class Node {
  left: Node | null = null;
  right: Node | null = null;

  constructor(public word: string) {}

  // Sleeps while references to nodes are only on the stack.
  insert(word: string): void {
    if (word.length == 8) nap();
    if (word < this.word) {
      const left = this.left;
      if (left) left.insert(word);
      else this.left = new Node(word);
    } else {
      const right = this.right;
      if (right) right.insert(word);
      else this.right = new Node(word);
    }
  }

  walk(into: string[]): void {
    const left = this.left;
    const right = this.right;
    if (left) left.walk(into);
    into.push(this.word);
    if (right) right.walk(into);
  }
}

function garbage(): i32 {
  let length = 0;
  for (let i = 0; i < 2000; i++) length += `garbage number ${i}`.length;
  return length;
}

const text = "there was a table set out under a tree and a dormouse was sitting between them fast asleep";
const counts = new Map<string, i32>();
const letters = new Set<string>();
const words = text.split(" ");
const root = new Node("middle");
for (let i = 0; i < words.length; i++) {
  const word = words[i];
  counts.set(word, (counts.has(word) ? counts.get(word) : 0) + 1);
  letters.add(word.charAt(0).toUpperCase());
  root.insert(word);
  if (i % 5 == 0) nap();
}
console.log(`garbage ${garbage()}`);
nap();
__collect();
console.log(`garbage ${garbage()}`);

const keys = counts.keys();
for (let i = 0; i < keys.length; i++) {
  if (i % 5 == 2) nap();
  if (counts.get(keys[i]) > 1) console.log(`${keys[i]} ${counts.get(keys[i])}`);
}
console.log(letters.values().join(""));
const sorted: string[] = [];
root.walk(sorted);
console.log(sorted.join(" "));

let line = "";
for (let i = 0; i < 6; i++) {
  line += `<${i}>`.padStart(i + 3, ".");
  nap();
}
console.log(`${line} ünïcödé 睡鼠 ${line.length}`);

const floats = new Float64Array(8);
for (let i = 0; i < floats.length; i++) {
  floats[i] = Math.sqrt(<f64>i) * 1000;
  if (i == 4) nap();
}
console.log(floats.map((x) => Math.round(x)).join(","));
const numbers: i32[] = [5, 3, 9, 1, 7, 2];
numbers.sort((a, b) => {
  if (a == 9) nap();
  return a - b;
});
console.log(numbers.join(" "));
