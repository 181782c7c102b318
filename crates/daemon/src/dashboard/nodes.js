// The nodes that share the store, and those that were seen to die.

import { Refused, get } from "./api.js";
import { $, bytes, local, make, number, plain, setText, span } from "./text.js";

// A daemon that has its store for itself has none for as long as it lives, and not every token is told.
let asking = true;

// The nodes of before, by number, and the last deaths that this page has seen.
let known = new Map();
let deaths = [];
const MOST_DEATHS = 5;

const standing = (node) => (!node.alive ? "dead" : node.draining ? "draining" : "alive");

function cellsOf(node) {
  const labels = Object.entries(node.labels).map(([key, value]) => plain(`${key}=${value}`));
  const up = span(Math.max(0, (Date.now() - new Date(node.since)) / 1000));
  return [
    { text: standing(node), state: standing(node) },
    { text: labels.join(" ") || "–" },
    { text: plain(node.version) },
    { text: up, title: local(node.since) },
    { text: number(node.owned), kind: "n" },
    { text: number(node.running), kind: "n" },
    { text: number(node.ready), kind: "n" },
    { text: number(node.parked), kind: "n" },
    { text: bytes(node.memory), kind: "n" },
  ];
}

function newRow(node) {
  const name = `${plain(node.name)}${node.here ? " (asked)" : ""}`;
  const line = make("tr", make("th", name, { scope: "row", title: plain(node.address) }));
  for (let place = 0; place < 9; place++) line.append(make("td", place ? [] : make("span")));
  line.dataset.number = node.number;
  return line;
}

function fill(line, node) {
  cellsOf(node).forEach(({ text, title, kind, state }, place) => {
    const cell = line.children[place + 1];
    const inner = state ? cell.firstChild : cell;
    setText(inner, text);
    if (state) inner.className = `state ${state}`;
    else cell.className = kind ?? "";
    if (title) cell.title = title;
  });
}

// A process that begins anew has another number, so that a death is seen even where the name is back at once.
function noteDeaths(nodes) {
  const alive = new Set(nodes.filter((node) => node.alive).map((node) => node.number));
  for (const node of known.values()) {
    if (node.alive && !node.draining && !alive.has(node.number)) deaths.unshift({ name: node.name, at: new Date() });
  }
  deaths = deaths.slice(0, MOST_DEATHS);
  known = new Map(nodes.map((node) => [node.number, node]));
  const told = deaths.map(({ name, at }) => `${plain(name)} at ${at.toLocaleTimeString()}`);
  setText($("deaths"), told.length ? `Gone while this page was open: ${told.join(", ")}. Others go on with what they had.` : "");
}

function show(nodes) {
  $("nodes-part").hidden = nodes.length === 0;
  noteDeaths(nodes);
  const old = new Map([...$("nodes").children].map((line) => [Number(line.dataset.number), line]));
  nodes.forEach((node, place) => {
    const line = old.get(node.number) ?? newRow(node);
    old.delete(node.number);
    fill(line, node);
    const there = $("nodes").children[place] ?? null;
    if (there !== line) $("nodes").insertBefore(line, there);
  });
  for (const line of old.values()) line.remove();
}

/** Shows the nodes, where there are any. */
export async function showNodes() {
  if (!asking) return;
  try {
    const { nodes } = await get("/v1/nodes");
    asking = nodes.length > 0;
    show(nodes);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 403) throw error;
    asking = false;
  }
}
