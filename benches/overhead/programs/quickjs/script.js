// Objects, strings, regular expressions, JSON, typed arrays, closures, recursion. The line in the middle is read in a
// comparison of `sort`, so that the interpreter is on the stack twice.
"use strict";
let checksum = 7;
const mix = (n) => { checksum = (checksum * 31 + (n % 1000003)) % 1000000007; };

function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

class Shape { area() { return 0; } }
class Square extends Shape { constructor(a) { super(); this.a = a; } area() { return this.a * this.a; } }
class Box extends Shape { constructor(a, b) { super(); this.a = a; this.b = b; } area() { return this.a * this.b; } }

function objects(size) {
  let sum = 0;
  const map = new Map();
  for (let i = 0; i < size; i++) {
    const shape = i % 2 ? new Square(i % 11) : new Box(i % 7, i % 5);
    sum += shape.area();
    map.set("k" + (i % 300), sum);
  }
  for (const value of map.values()) mix(value);
}

function strings(size) {
  const parts = [];
  for (let i = 0; i < size; i++) parts.push(`${i}:${"ab".repeat(i % 5)}`);
  const text = parts.join(",");
  let count = 0;
  for (const match of text.matchAll(/(\d+):(ab)*/g)) count += match[0].length;
  mix(count + text.replace(/ab/g, "x").length + text.toUpperCase().indexOf("777:"));
}

function json(size) {
  const data = [];
  for (let i = 0; i < size; i++) data.push({ id: i, name: "n" + i, tags: ["a", "b", i], value: i / 8 });
  const back = JSON.parse(JSON.stringify(data));
  mix(back.filter((x) => x.value > 3).map((x) => x.tags[2]).reduce((a, b) => a + b, 0));
}

function arrays(size) {
  const sieve = new Uint8Array(size);
  let count = 0;
  for (let i = 2; i < size; i++) {
    if (sieve[i]) continue;
    count++;
    for (let j = i * 2; j < size; j += i) sieve[j] = 1;
  }
  mix(count);
}

function sorts(size, at) {
  let seed = 42, count = 0;
  const list = [];
  for (let i = 0; i < size; i++) { seed = (seed * 48271) % 2147483647; list.push(seed); }
  list.sort((a, b) => { if (++count === at) midway(); return a - b; });
  mix(list[0] + list[size >> 1] + count);
}

for (let round = 1; round <= 2 * scale; round++) {
  mix(fib(20));
  objects(20000);
  strings(2000);
  json(1000);
  arrays(50000);
  sorts(3000, round === scale ? 15000 : -1);
}
finish(checksum);
