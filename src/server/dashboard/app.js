// The dashboard: asks the daemon's API and shows what it says. Text from guests only ever becomes text.

const $ = (id) => document.getElementById(id);
const STATES = ["ready", "running", "parked", "hibernated", "paused", "exited", "failed",
  "moving", "arriving", "moved"];
const PAGE = 50;
const MOST_OUTPUT = 400_000;

let token = sessionStorage.getItem("token");
let filter = null;
let before = null;
let next = null;
let chosen = null;
let last = null;
let following = null;
let asked = 0;

// A token in the address is kept for this tab, and taken out of the address and the history.
function tokenFromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    token = found;
    sessionStorage.setItem("token", token);
    history.replaceState(null, "", location.pathname);
  }
}

class Refused extends Error {}

async function ask(path, options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) {
    askForToken();
    throw new Refused("the daemon does not accept the token");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(problem.error ?? `the daemon answered ${answer.status}`);
  }
  return answer;
}

const get = async (path) => (await ask(path)).json();
const post = async (path, body) =>
  (await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? null) })).json();

function askForToken() {
  $("page").hidden = true;
  if (!$("token").open) $("token").showModal();
}

function tell(text) {
  $("alert").textContent = text ?? "";
  $("alert").hidden = !text;
}

// Makes elements.
function make(name, content, attributes = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...[content ?? []].flat());
  return element;
}

// Control characters are shown, not obeyed: a name may hold what turns a line around.
const plain = (text) =>
  String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

const number = (value) => value.toLocaleString();

function bytes(value) {
  if (!value) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const place = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  const at = seconds < 1 ? 3 : place;
  const [name, size] = units[at];
  const whole = Math.floor(seconds / size);
  const [small, part] = units[at + 1] ?? [];
  const rest = part ? Math.floor((seconds % size) / part) : 0;
  return rest && whole < 10 ? `${whole} ${name} ${rest} ${small}` : `${whole} ${name}`;
}

const local = (time) => new Date(time).toLocaleString();

function until(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  return seconds > 0 ? `in ${span(seconds)}` : "now";
}

// The page.

function showStats(stats) {
  $("about").textContent = `${stats.version} · daemon ${stats.daemon} · up ${span(stats.uptime)}`;
  if (!$("states").children.length) {
    for (const state of STATES) {
      const button = make("button", [make("strong", "0"), state], { type: "button", class: state, "aria-pressed": "false" });
      button.dataset.state = state;
      button.addEventListener("click", () => choose(filter === state ? null : state));
      $("states").append(make("li", button));
    }
  }
  for (const button of $("states").querySelectorAll("button")) {
    const { state } = button.dataset;
    button.firstChild.textContent = number(stats.tasks[state] ?? 0);
    button.setAttribute("aria-pressed", String(filter === state));
  }
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

function choose(state) {
  filter = state;
  before = null;
  $("filter").textContent = state ? `only ${state}` : "";
  refresh();
}

function row(task) {
  const button = make("button", String(task.id), { type: "button" });
  const wakes = make("td", task.wakes ? until(task.wakes) : task.exit_code !== null ? `exit code ${task.exit_code}` : "–");
  if (task.wakes) wakes.title = local(task.wakes);
  const error = task.error ? plain(task.error) : null;
  const waits = make("td", error ?? plain(task.waits_for ?? "–"));
  if (error) {
    waits.title = error;
    waits.className = "wrong";
  }
  const program = make("td", plain(task.args.join(" ")));
  program.title = program.textContent;
  const cells = [
    make("td", button, { class: "n" }),
    make("td", make("span", task.state, { class: `state ${task.state}` })),
    make("td", plain(task.name ?? "–")),
    program,
    waits,
    wakes,
    make("td", bytes(task.memory), { class: "n" }),
    make("td", bytes(task.snapshot_bytes), { class: "n" }),
    make("td", bytes(task.output_bytes), { class: "n" }),
  ];
  const line = make("tr", cells);
  line.dataset.id = task.id;
  line.classList.toggle("chosen", task.id === chosen);
  line.addEventListener("click", () => open(task.id));
  return line;
}

function showTasks(page) {
  next = page.next ?? null;
  const focused = document.activeElement?.closest?.("tr")?.dataset.id;
  $("tasks").replaceChildren(...page.tasks.map(row));
  if (focused) $("tasks").querySelector(`tr[data-id="${focused}"] button`)?.focus();
  $("none").hidden = page.tasks.length > 0;
  $("older").disabled = !next;
  $("newest").disabled = before === null;
}

function svg(name, attributes, content) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (content !== undefined) element.textContent = content;
  return element;
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
  parts.push(svg("text", { x: 4, y: 13 }, `${number(counts.reduce((sum, count) => sum + count, 0))} due, at most ${number(Math.max(0, ...counts))} in ${span(step)}`));
  picture.replaceChildren(...parts);
}

async function refresh() {
  if (!token) return askForToken();
  const round = ++asked;
  try {
    const seconds = Number($("span").value);
    const query = new URLSearchParams({ limit: PAGE });
    if (filter) query.set("state", filter);
    if (before !== null) query.set("before", before);
    const [stats, page, timeline] = await Promise.all([
      get("/v1/stats"),
      get(`/v1/tasks?${query}`),
      get(`/v1/timeline?step=${seconds / 60}&count=60`),
    ]);
    // A later question has been asked meanwhile.
    if (round !== asked) return;
    tell(null);
    $("page").hidden = false;
    showStats(stats);
    showTasks(page);
    showTimeline(timeline);
    if (chosen !== null) await showTask();
  } catch (error) {
    if (round !== asked || $("token").open) return;
    tell(error instanceof Refused ? error.message : "The daemon does not answer. It is asked again every second.");
  }
}

// A task.

const OVER = ["exited", "failed", "moved"];

function actions(task) {
  const over = OVER.includes(task.state);
  return [
    ["Pause", !over && task.state !== "paused", () => act(task, "pause")],
    ["Resume", task.state === "paused", () => act(task, "resume")],
    ["Export", !over, () => save(task)],
    ["Kill", !over, () => sure(`End task ${task.id}? It cannot be resumed.`).then((yes) => yes && act(task, "kill"))],
    ["Remove", over || task.state === "paused", () => sure(`Remove task ${task.id} and its output?`).then((yes) => yes && remove(task))],
  ];
}

async function showTask() {
  const id = chosen;
  let task;
  try {
    task = await get(`/v1/tasks/${id}`);
  } catch (error) {
    if (error instanceof Refused && error.message.includes("there is no task")) return close();
    throw error;
  }
  if (id !== chosen) return;
  $("pane").hidden = false;
  document.body.classList.add("with-pane");
  $("pane-title").replaceChildren(`Task ${task.id} `, make("span", task.state, { class: `state ${task.state}` }));
  const wanted = actions(task);
  if ($("actions").children.length !== wanted.length) {
    $("actions").replaceChildren(...wanted.map(([name]) => make("button", name, { type: "button", class: name === "Kill" || name === "Remove" ? "danger" : "" })));
  }
  wanted.forEach(([, enabled, run], place) => {
    const button = $("actions").children[place];
    button.disabled = !enabled;
    button.onclick = run;
  });
  const fields = {
    name: task.name,
    program: task.args.join(" "),
    "waits for": task.waits_for,
    wakes: task.wakes && `${until(task.wakes)}, ${local(task.wakes)}`,
    every: task.every,
    "exit code": task.exit_code,
    error: task.error,
    submitted: local(task.submitted),
    changed: local(task.changed),
    started: `${number(task.runs)} times, put to sleep ${number(task.sleeps)} times`,
    "copy of": task.forked_from,
    "listens on": task.listen.join(", ") || null,
    engine: task.engine,
    variables: task.env.join(" ") || null,
    directories: task.dirs.map((dir) => `${dir.host} as ${dir.guest}`).join(", ") || null,
    snapshot: bytes(task.snapshot_bytes),
    memory: task.memory ? bytes(task.memory) : null,
    module: task.module.slice(0, 12),
  };
  $("fields").replaceChildren(
    ...Object.entries(fields)
      .filter(([, value]) => value !== null && value !== undefined)
      .flatMap(([name, value]) => [make("dt", name), make("dd", plain(value))]),
  );
}

function open(id) {
  if (chosen === id) return;
  chosen = id;
  for (const line of $("tasks").children) line.classList.toggle("chosen", Number(line.dataset.id) === id);
  $("actions").replaceChildren();
  follow(id);
  showTask().catch((error) => tell(error.message));
}

function close() {
  chosen = null;
  following?.abort();
  $("pane").hidden = true;
  document.body.classList.remove("with-pane");
  for (const line of $("tasks").children) line.classList.remove("chosen");
}

async function act(task, what) {
  try {
    const path = `/v1/tasks/${task.id}/${what}`;
    const answer = await ask(path, { method: "POST" });
    tell(answer.status === 202 ? `Task ${task.id} computes; this happens when it blocks.` : null);
  } catch (error) {
    tell(error.message);
  }
  refresh();
}

async function remove(task) {
  try {
    await ask(`/v1/tasks/${task.id}`, { method: "DELETE" });
    close();
  } catch (error) {
    tell(error.message);
  }
  refresh();
}

async function save(task) {
  try {
    const answer = await ask(`/v1/tasks/${task.id}/snapshot`);
    const link = make("a", [], { href: URL.createObjectURL(await answer.blob()), download: `task-${task.id}.snapshot` });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    tell(error.message);
  }
}

function sure(text) {
  $("sure-text").textContent = text;
  $("sure").returnValue = "no";
  $("sure").showModal();
  return new Promise((resolve) => {
    // The event of a question before may come while this one is open.
    const closed = () => {
      if ($("sure").open) return;
      $("sure").removeEventListener("close", closed);
      resolve($("sure").returnValue === "yes");
    };
    $("sure").addEventListener("close", closed);
  });
}

// Output as it is written.
async function follow(id) {
  following?.abort();
  const stop = (following = new AbortController());
  const pane = $("logs");
  pane.replaceChildren();
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  let size = 0;
  const show = ({ stream, text, base64 }) => {
    const raw = base64 === undefined ? new TextEncoder().encode(text) : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    // A character may be cut in two by the end of a piece.
    const piece = plain(decoders[stream].decode(raw, { stream: true }).replace(/\r\n/g, "\n"));
    const down = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 30;
    pane.append(make("span", piece, { class: stream }));
    size += piece.length;
    while (size > MOST_OUTPUT && pane.children.length > 1) {
      size -= pane.firstChild.textContent.length;
      pane.firstChild.remove();
    }
    if (down) pane.scrollTop = pane.scrollHeight;
  };
  try {
    const answer = await ask(`/v1/tasks/${id}/logs?follow=true`, { signal: stop.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      lines.forEach((line) => show(JSON.parse(line)));
    }
  } catch (error) {
    if (stop.signal.aborted) return;
    // The daemon has gone, perhaps for a moment.
    setTimeout(() => chosen === id && following === stop && follow(id), 2000);
  }
}

// Submitting.

// Splits as a shell does: blanks, quotes, backslashes.
function words(text) {
  const found = [];
  let word = null;
  let quote = null;
  for (let place = 0; place < text.length; place++) {
    const c = text[place];
    if (quote) {
      if (c === quote) quote = null;
      else if (c === "\\" && quote === '"' && place + 1 < text.length) word += text[++place];
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (/\s/.test(c)) {
      if (word !== null) found.push(word);
      word = null;
    } else {
      word = (word ?? "") + (c === "\\" && place + 1 < text.length ? text[++place] : c);
    }
  }
  if (quote) throw new Refused("a quote in the arguments is not closed");
  return word === null ? found : [...found, word];
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

function split(line, by, what) {
  const place = line.indexOf(by);
  if (place < 1) throw new Refused(`${what} ${line}: write ${what === "variable" ? "NAME=VALUE" : "HOST::GUEST"}`);
  return [line.slice(0, place), line.slice(place + by.length)];
}

async function submit(form) {
  const field = (name) => form.elements[name].value.trim();
  const file = form.elements.file.files[0];
  const task = {
    args: [file.name, ...words(form.elements.args.value)],
    env: Object.fromEntries(lines(field("env")).map((line) => split(line, "=", "variable"))),
    dirs: lines(field("dirs")).map((line) => split(line, "::", "directory")).map(([host, guest]) => ({ host, guest })),
    name: field("name") || null,
    engine: field("engine") || null,
    at: field("at") ? new Date(field("at")).toISOString() : null,
    every: field("every") || null,
  };
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const isModule = String.fromCharCode(...start) === "\0asm";
  $("submit-state").textContent = isModule ? "Making the module ready; a large one takes a minute…" : "Sending the snapshot…";
  if (!isModule) {
    const given = { dirs: task.dirs, name: task.name, engine: task.engine };
    const query = new URLSearchParams({ task: JSON.stringify(given) });
    return (await ask(`/v1/snapshots?${query}`, { method: "POST", body: file })).json();
  }
  const { module } = await (await ask("/v1/modules", { method: "PUT", body: file })).json();
  return post("/v1/tasks", { ...task, module });
}

$("submit-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  button.disabled = true;
  $("submit-state").className = "";
  try {
    const task = await submit(event.target);
    $("submit").close();
    event.target.reset();
    choose(null);
    open(task.id);
  } catch (error) {
    $("submit-state").className = "wrong";
    $("submit-state").textContent = error.message;
  }
  button.disabled = false;
});

$("open-submit").addEventListener("click", () => {
  $("submit-state").textContent = "";
  $("submit").showModal();
});
$("submit-close").addEventListener("click", () => $("submit").close());
$("pane-close").addEventListener("click", close);
$("older").addEventListener("click", () => { before = next; refresh(); });
$("newest").addEventListener("click", () => { before = null; refresh(); });
$("span").addEventListener("change", refresh);
$("token").addEventListener("cancel", (event) => event.preventDefault());
$("token-form").addEventListener("submit", (event) => {
  token = event.target.elements.token.value.trim();
  sessionStorage.setItem("token", token);
  refresh();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) close();
});
window.addEventListener("hashchange", () => { tokenFromAddress(); refresh(); });

tokenFromAddress();
refresh();
setInterval(() => document.visibilityState === "visible" && refresh(), 1000);
