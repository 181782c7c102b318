// The dashboard: asks the daemon's API and shows what it says. What is shown is in the address, so that
// it can be shared, and the browser's own buttons lead back.

import { Refused, askForToken, get, hasToken, keepToken } from "./api.js";
import { onSubmitted } from "./form.js";
import { showNodes } from "./nodes.js";
import { choose, chosenId, onChange, showTask } from "./task.js";
import { $, bytes, local, make, number, plain, preparing, programOf, setText, span, stateOf, svg, until } from "./text.js";

const STATES = ["ready", "running", "parked", "hibernated", "paused", "exited", "failed",
  "moving", "arriving", "moved"];
const PAGE = 50;

// What the address names: a task by number or name, tasks in one state, tasks before a number.
let route = { task: null, state: null, before: null };
let next = null;
let last = null;
let asked = 0;

// The address.

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const token = words.get("token");
  if (token) {
    // It is kept for this tab, and taken out of the address and the history.
    keepToken(token);
    words.delete("token");
    const rest = String(words);
    history.replaceState(null, "", location.pathname + (rest && `#${rest}`));
  }
  const before = words.get("before");
  return { task: words.get("task") || null, state: words.get("state") || null, before: /^\d+$/.test(before) ? before : null };
}

/** The address that differs from this one in so much. */
function address(change) {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...route, ...change })) if (value !== null) words.set(key, value);
  return `#${words}`;
}

function go(change) {
  const target = address(change);
  if (target === "#") {
    // An address that ends with a bare "#" would be another one.
    history.pushState(null, "", location.pathname);
    arrive();
  } else if (target !== location.hash) {
    location.hash = target;
  }
}

function arrive() {
  const left = route.task;
  route = readAddress();
  setText($("filter"), route.state ? `only ${plain(route.state)}` : "");
  if (route.task !== left) {
    const row = left === null ? null : rowOf(chosenId() ?? left);
    choose(route.task);
    document.body.classList.toggle("with-pane", route.task !== null);
    cover();
    if (route.task !== null) $("pane-title").focus();
    else if (left !== null) (row?.querySelector("a") ?? $("tasks-title")).focus();
  }
  refresh();
}

const rowOf = (id) => $("tasks").querySelector(`tr[data-id="${CSS.escape(id)}"]`);

// Where the pane lies over everything, what is under it cannot be reached.
const narrow = matchMedia("(max-width: 900px)");

function cover() {
  const covered = narrow.matches && route.task !== null;
  $("page").inert = covered;
  $("head").inert = covered;
}

// What went wrong with something that was asked for is told for a while, over what the daemon says each second.
const SHOWN = 15_000;
let failed = { text: null, at: 0 };

function tell(text) {
  const recent = Date.now() - failed.at < SHOWN ? failed.text : null;
  setText($("alert"), plain(text ?? recent ?? ""));
  $("alert").hidden = !(text ?? recent);
}

function fail(text) {
  failed = { text, at: Date.now() };
  tell(null);
}

// The page.

function showStates(stats) {
  if (!$("states").children.length) {
    for (const state of STATES) {
      const button = make("button", [make("strong", "0"), state], { type: "button", class: state, "aria-pressed": "false" });
      button.dataset.state = state;
      button.addEventListener("click", () => go({ state: route.state === state ? null : state, before: null }));
      $("states").append(make("li", button));
    }
  }
  for (const button of $("states").querySelectorAll("button")) {
    const { state } = button.dataset;
    const count = number(stats.tasks[state] ?? 0);
    setText(button.firstChild, count);
    button.firstChild.style.setProperty("--characters", count.length);
    button.setAttribute("aria-pressed", String(route.state === state));
  }
}

function showStats(stats) {
  setText($("about"), `${stats.version} · daemon ${stats.daemon} · up ${span(stats.uptime)}`);
  showStates(stats);
  const passed = last ? stats.uptime - last.uptime : 0;
  const rate = (name) => (passed > 0 ? number(Math.round((stats[name] - last[name]) / passed)) : "–");
  const numbers = {
    "submitted/s": rate("submitted"),
    "wake-ups/s": rate("wakes"),
    "suspends/s": rate("suspends"),
    memory: bytes(stats.memory),
    "waiting in memory": bytes(stats.warm_memory),
    disk: bytes(stats.disk),
    "modules and bases": `${number(stats.blobs)}, ${bytes(stats.blob_bytes)}`,
    "snapshots stored": stats.dedup_ratio >= 1 ? `${number(Math.round(stats.dedup_ratio))}× smaller` : "–",
  };
  $("numbers").replaceChildren(
    ...Object.entries(numbers).map(([name, value]) => make("div", [make("dt", name), make("dd", value)])),
  );
  last = stats;
}

// The tasks.

const ends = (task) => (task.exit_code !== null ? `exit code ${task.exit_code}` : "–");

function cellsOf(task) {
  const wrong = task.damaged ?? task.unplaced ?? task.error;
  const error = wrong ? plain(wrong) : null;
  const program = plain(programOf(task));
  return [
    { text: stateOf(task), state: stateOf(task) },
    { text: plain(task.name ?? "–") },
    { text: program, title: program },
    { text: error ?? preparing(task) ?? plain(task.waits_for ?? "–"), title: error, kind: error && "wrong" },
    { text: task.wakes ? until(task.wakes) : ends(task), title: task.wakes && local(task.wakes) },
    { text: bytes(task.memory), kind: "n" },
    { text: bytes(task.snapshot_bytes), kind: "n" },
    { text: bytes(task.output_bytes), kind: "n" },
  ];
}

function newRow(id) {
  const line = make("tr", make("th", make("a", String(id)), { class: "n", scope: "row" }));
  for (let place = 0; place < 8; place++) line.append(make("td", place ? [] : make("span")));
  line.dataset.id = id;
  line.addEventListener("click", (event) => {
    // Neither where the link does it, nor at the end of selecting text.
    if (event.target.closest("a") || !getSelection().isCollapsed) return;
    go({ task: String(id) });
  });
  return line;
}

// Rows stay what they are while they are looked at: focus and selection must not go.
function fill(line, task) {
  const link = line.querySelector("a");
  const target = address({ task: String(task.id) });
  if (link.getAttribute("href") !== target) link.setAttribute("href", target);
  link.setAttribute("aria-label", `Task ${task.id}, ${stateOf(task)}`);
  const isChosen = task.id === chosenId();
  line.classList.toggle("chosen", isChosen);
  if (isChosen) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  cellsOf(task).forEach(({ text, title, kind, state }, place) => {
    const cell = line.children[place + 1];
    const inner = state ? cell.firstChild : cell;
    setText(inner, text);
    if (state) inner.className = `state ${state}`;
    else cell.className = kind ?? "";
    if (title) cell.title = title;
    else cell.removeAttribute("title");
  });
}

function showTasks(page) {
  next = page.next ?? null;
  const old = new Map([...$("tasks").children].map((line) => [Number(line.dataset.id), line]));
  page.tasks.forEach((task, place) => {
    const line = old.get(task.id) ?? newRow(task.id);
    old.delete(task.id);
    fill(line, task);
    const there = $("tasks").children[place] ?? null;
    if (there !== line) $("tasks").insertBefore(line, there);
  });
  const lost = [...old.values()].some((line) => line.contains(document.activeElement));
  for (const line of old.values()) line.remove();
  if (lost) $("tasks-title").focus();
  $("none").hidden = page.tasks.length > 0;
  $("older").disabled = !next;
  $("newest").disabled = route.before === null;
}

function showTimeline({ from, step, counts }) {
  const picture = $("timeline");
  const [width, height, foot, head] = [picture.clientWidth || 800, 130, 20, 18];
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const most = Math.max(1, ...counts);
  const wide = width / counts.length;
  const start = new Date(from).getTime();
  const long = step * counts.length > 2 * 86400;
  const clock = (time) =>
    new Date(time).toLocaleString([], long ? { weekday: "short", hour: "2-digit" } : { hour: "2-digit", minute: "2-digit", second: step < 20 ? "2-digit" : undefined });
  const parts = [svg("line", { x1: 0, x2: width, y1: height - foot, y2: height - foot })];
  counts.forEach((count, place) => {
    const tall = ((height - foot - head) * count) / most;
    const group = svg("g", {});
    group.append(
      svg("rect", { class: "area", x: place * wide, y: 0, width: wide, height: height - foot }),
      svg("rect", { x: place * wide + 1, y: height - foot - tall, width: Math.max(1, wide - 2), height: tall }),
      svg("title", {}, `${number(count)} due from ${clock(start + place * step * 1000)}`),
    );
    parts.push(group);
  });
  const marks = Math.max(2, Math.min(8, Math.floor(width / 110)));
  for (let mark = 0; mark < marks; mark++) {
    const place = Math.floor((mark * counts.length) / marks);
    parts.push(svg("text", { x: place * wide + 4, y: height - 6 }, clock(start + place * step * 1000)));
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const words = `${number(total)} due, at most ${number(Math.max(0, ...counts))} in ${span(step)}`;
  parts.push(svg("text", { x: 4, y: 13 }, words));
  picture.setAttribute("aria-label", `Wake-ups ahead: ${words}`);
  picture.replaceChildren(...parts);
}

async function refresh() {
  if (!hasToken()) return askForToken();
  const round = ++asked;
  try {
    const seconds = Number($("span").value);
    const query = new URLSearchParams({ limit: PAGE });
    if (route.state) query.set("state", route.state);
    if (route.before !== null) query.set("before", route.before);
    const [stats, page, timeline] = await Promise.all([
      get("/v1/stats"),
      get(`/v1/tasks?${query}`),
      get(`/v1/timeline?step=${seconds / 60}&count=60`),
    ]);
    // A later question has been asked meanwhile.
    if (round !== asked) return;
    tell(null);
    $("page").hidden = false;
    $("pane").hidden = route.task === null;
    showStats(stats);
    await showTask();
    if (round !== asked) return;
    showTasks(page);
    showTimeline(timeline);
    await showNodes();
  } catch (error) {
    if (round !== asked || $("token").open) return;
    tell(error instanceof Refused ? error.message : "The daemon does not answer. It is asked again every second.");
  }
}

// What is done with the page.

onChange(({ error, said, gone }) => {
  fail(error?.message ?? null);
  if (said) setText($("said"), said);
  if (gone) go({ task: null });
  else if (!error) refresh();
});

onSubmitted((ids) => {
  const [first] = ids;
  const newest = { state: null, before: null };
  if (ids.length === 1) return go({ ...newest, task: String(first) });
  setText($("said"), `${number(ids.length)} tasks were submitted, from ${first} to ${ids.at(-1)}.`);
  go({ ...newest, task: null });
  refresh();
});

$("pane-close").addEventListener("click", () => go({ task: null }));
$("older").addEventListener("click", () => go({ before: String(next) }));
$("newest").addEventListener("click", () => go({ before: null }));
$("span").addEventListener("change", refresh);
$("token").addEventListener("cancel", (event) => event.preventDefault());
$("token-form").addEventListener("submit", (event) => {
  keepToken(event.target.elements.token.value.trim());
  event.target.reset();
  refresh();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && route.task !== null && !document.querySelector("dialog[open]")) go({ task: null });
});
$("tasks").addEventListener("keydown", (event) => {
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const other = step && event.target.closest("tr")?.[step];
  if (!other) return;
  event.preventDefault();
  other.querySelector("a").focus();
});
narrow.addEventListener("change", cover);
window.addEventListener("hashchange", arrive);

arrive();
setInterval(() => document.visibilityState === "visible" && refresh(), 1000);
