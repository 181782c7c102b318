// The form that submits a task.

import { Refused, ask, post, send } from "./api.js";
import { addRow, clearErrors, clearList, prepareLimits, prepareList, readLimits, rows, showError } from "./fields.js";
import { $, number, plain } from "./text.js";

const BATCH = 10_000;

const form = $("submit-form");
const list = (name) => form.querySelector(`[data-list="${name}"]`);
let under = null;
let submitted = () => {};

/** Splits as a shell does: blanks, quotes, backslashes. */
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
  if (quote) throw new Refused("a quote is not closed", { field: "args" });
  return word === null ? found : [...found, word];
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

function variable(line) {
  const place = line.indexOf("=");
  if (place < 1) throw new Refused(`${line}: write NAME=VALUE`, { field: "env" });
  return [line.slice(0, place), line.slice(place + 1)];
}

// What the command takes as one word, HOST[::GUEST][:ro], means the same here.
function spread(row) {
  const [host, guest, access] = ["host", "guest", "access"].map((key) => row.querySelector(`[data-key=${key}]`));
  const end = /:(ro|rw)$/.exec(host.value)?.[1];
  if (end) {
    host.value = host.value.slice(0, -3);
    access.value = end;
  }
  const place = host.value.indexOf("::");
  if (place > 0) {
    guest.value = host.value.slice(place + 2);
    host.value = host.value.slice(0, place);
  }
}

function mount(row) {
  const access = { ro: { read_only: true }, rw: { read_only: false } }[row.access] ?? {};
  return { host: row.host, guest: row.guest || row.host, ...access };
}

const isSnapshot = async (file) =>
  String.fromCharCode(...new Uint8Array(await file.slice(0, 4).arrayBuffer())) !== "\0asm";

/** The task as the API takes it, without its module. */
function read(file) {
  const field = (name) => form.elements[name].value.trim();
  for (const { row } of rows(list("mounts"))) spread(row);
  return {
    program: file.name,
    args: words(form.elements.args.value),
    env: Object.fromEntries(lines(field("env")).map(variable)),
    mounts: rows(list("mounts")).map(mount),
    tmpfs: rows(list("tmpfs")).map(({ guest, size }) => ({ guest, ...(size ? { size } : {}) })),
    network: {
      listen: lines(field("listen")),
      ...(field("http") ? { http: field("http") } : {}),
      ...(form.elements.per_request.checked ? { per_request: true } : {}),
      allow_connect: lines(field("allow_connect")),
      allow_listen: lines(field("allow_listen")),
      ...(form.elements.proxy_streams.checked ? { proxy_streams: true } : {}),
    },
    limits: readLimits(list("limits")),
    on_limit: field("on_limit") || null,
    name: field("name") || null,
    engine: field("engine") || null,
    schedule: {
      at: field("at") ? new Date(field("at")).toISOString() : null,
      every: field("every") || null,
    },
    restart: field("restart") || null,
    clocks: field("clocks") || null,
    random: field("random") || null,
    accept_changed_files: form.elements.accept_changed_files.checked,
  };
}

// A snapshot brings these along.
const OF_MODULES = ["program", "args", "env", "tmpfs", "schedule", "restart"];

const say = (text, wrong = false) => {
  $("submit-state").className = wrong ? "wrong" : "";
  $("submit-state").textContent = text;
};

/** Submits; gives the numbers of the new tasks. */
async function submit(signal) {
  const file = form.elements.file.files[0];
  const task = read(file);
  if (await isSnapshot(file)) {
    for (const name of OF_MODULES) delete task[name];
    await send("/v1/tasks?dry_run=true", task, { signal });
    say("Sending the snapshot…");
    const query = new URLSearchParams({ task: JSON.stringify(task) });
    return [(await (await ask(`/v1/snapshots?${query}`, { method: "POST", body: file, signal })).json()).id];
  }
  const count = Number(form.elements.count.value || 1);
  if (count > 1 && task.name) throw new Refused("several tasks cannot have one name", { field: "name" });
  // Before the module is sent: to make a large one resumable takes minutes.
  await send("/v1/tasks?dry_run=true", task, { signal });
  say("Making the module resumable: a large one takes minutes, once…");
  const preempt = form.elements.preempt.checked ? "?preempt=true" : "";
  const { module } = await (await ask(`/v1/modules${preempt}`, { method: "PUT", body: file, signal })).json();
  if (count === 1) return [(await post("/v1/tasks", { ...task, module }, { signal })).id];
  const ids = [];
  for (let left = count; left > 0; left -= BATCH) {
    say(`${number(ids.length)} of ${number(count)} submitted…`);
    const told = await post("/v1/batch", [{ ...task, module, count: Math.min(left, BATCH) }], { signal });
    const refused = told.find(({ error }) => error);
    if (refused) throw new Refused(`${number(ids.length)} were submitted; then: ${refused.error}`);
    ids.push(...told.map(({ id }) => id));
  }
  return ids;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const stop = (under = new AbortController());
  const button = $("submit-go");
  button.disabled = true;
  clearErrors(form);
  say("");
  try {
    const ids = await submit(stop.signal);
    form.reset();
    $("submit").close();
    submitted(ids);
  } catch (error) {
    if (!stop.signal.aborted) {
      const shown = showError(form, error);
      say(shown ? "Nothing was submitted." : plain(error.message), true);
    }
  }
  button.disabled = false;
});

form.addEventListener("reset", () => {
  form.querySelectorAll("[data-list]").forEach(clearList);
  clearErrors(form);
  suit(false);
});

// What a snapshot brings along cannot be given, and a directory stays as it was unless it is said.
function suit(snapshot) {
  for (const part of form.querySelectorAll(".of-module")) {
    part.disabled = snapshot;
    part.hidden = snapshot;
  }
  $("of-snapshot").hidden = !snapshot;
  form.classList.toggle("snapshot", snapshot);
  for (const select of form.querySelectorAll("[data-key=access]")) suitAccess(select);
}

function suitAccess(select) {
  const snapshot = form.classList.contains("snapshot");
  select.options[0].textContent = snapshot ? "as it was" : "may write";
  select.options[2].hidden = !snapshot;
}

form.elements.file.addEventListener("change", async () => {
  const file = form.elements.file.files[0];
  suit(file ? await isSnapshot(file) : false);
});
["tmpfs"].forEach((name) => prepareList(list(name)));
list("mounts").querySelector(".add").addEventListener("click", () => {
  const row = addRow(list("mounts"), true);
  suitAccess(row.querySelector("[data-key=access]"));
});
list("mounts").addEventListener("change", ({ target }) => {
  if (target.dataset.key === "host") spread(target.closest(".row"));
});
prepareLimits(list("limits"));

$("open-submit").addEventListener("click", () => {
  say("");
  $("submit").showModal();
});
$("submit-close").addEventListener("click", () => $("submit").close());
// The browser itself gives the focus back to the button. This event comes later, when a new task may have the focus.
$("submit").addEventListener("close", () => under?.abort());

/** What happens with the numbers of new tasks. */
export const onSubmitted = (then) => (submitted = then);
