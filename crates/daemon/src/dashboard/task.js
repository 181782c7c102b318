// One task: what is known of it, what can be done with it, and its output.

import { Refused, ask, get, hasToken, send, taskPath } from "./api.js";
import { addLimit, clearErrors, clearList, prepareLimits, readLimits, showError } from "./fields.js";
import { $, bytes, local, make, number, output, plain, preparing, programOf, setText, stateOf, until } from "./text.js";

const MOST_OUTPUT = 400_000;
const OVER = ["exited", "failed", "moved"];

// The task of the address, by number or name, and what was last heard of it.
let chosen = null;
let shown = null;
let following = null;
let happened = () => {};

export const chosenId = () => shown?.id ?? null;

/** What happens when something was done with a task; `gone` when it was removed. */
export const onChange = (then) => (happened = then);

function actions(task) {
  const over = OVER.includes(task.state);
  // One that is damaged can be copied and removed, and nothing else.
  const whole = !task.damaged;
  return [
    ["Pause", whole && !over && task.state !== "paused", () => act(task, "pause")],
    ["Resume", whole && task.state === "paused", () => act(task, "resume")],
    ["Export", !over, () => save(task)],
    ["Kill", whole && !over, () => sure(`End task ${task.id}? It cannot be resumed.`).then((yes) => yes && act(task, "kill"))],
    ["Remove", over || !whole || task.state === "paused", () => sure(`Remove task ${task.id} and its output?`).then((yes) => yes && remove(task))],
  ];
}

const mountText = (dir) => `${dir.host} as ${dir.guest}${dir.read_only ? ", read-only" : ""}`;
const listed = (list) => list.join(", ") || null;

function fieldsOf(task) {
  const { spec } = task;
  const network = spec.network ?? {};
  return {
    name: task.name,
    program: programOf(task),
    preparing: preparing(task),
    "waits for": task.waits_for,
    wakes: task.wakes && `${until(task.wakes)}, ${local(task.wakes)}`,
    every: spec.schedule?.every,
    "exit code": task.exit_code,
    damaged: task.damaged,
    "not placed": task.unplaced,
    error: task.error,
    submitted: local(task.submitted),
    changed: local(task.changed),
    started: `${number(task.runs)} times, put to sleep ${number(task.sleeps)} times`,
    restart: spec.restart && `${spec.restart}${task.restarts ? `, ${number(task.restarts)} in a row` : ""}`,
    place: listed(Object.entries(spec.place ?? {}).map(([name, value]) => `${name}=${value}`)),
    node: task.node,
    "copy of": task.forked_from,
    "came from": task.came_from,
    "moved to": task.moved_to && `task ${task.moved_to.task} of daemon ${task.moved_to.daemon} at ${task.moved_to.address}`,
    engine: spec.engine,
    limits: listed(Object.entries(spec.limits ?? {}).map(([name, value]) => `${name}=${value}`)),
    "at a limit": spec.on_limit,
    clocks: spec.clocks,
    random: spec.random,
    variables: task.variables.join(" ") || null,
    directories: listed((spec.mounts ?? []).map(mountText)),
    "in memory": listed((spec.tmpfs ?? []).map((dir) => `${dir.guest}, ${bytes(dir.size)} at most`)),
    "listens on": listed(network.listen ?? []),
    "answers HTTP at": network.http && `${network.http}${network.per_request ? ", by an instance for each request" : ""}`,
    "is asked by": listed((task.connections ?? []).map((id) => `task ${id}`)),
    "accepted by": task.accepted_by && `task ${task.accepted_by}`,
    "may connect to": listed(network.allow_connect ?? []),
    "may listen on": listed(network.allow_listen ?? []),
    connections: network.proxy_streams ? "carried along when it moves" : null,
    snapshot: bytes(task.snapshot_bytes),
    memory: task.memory ? bytes(task.memory) : null,
    module: task.module.slice(0, 12),
  };
}

function showFields(task) {
  const fields = Object.entries(fieldsOf(task)).filter(([, value]) => value !== null && value !== undefined);
  const names = fields.map(([name]) => name).join();
  if ($("fields").dataset.names !== names) {
    $("fields").dataset.names = names;
    $("fields").replaceChildren(...fields.flatMap(([name]) => [make("dt", name), make("dd")]));
  }
  const values = $("fields").querySelectorAll("dd");
  fields.forEach(([, value], place) => setText(values[place], plain(value)));
}

function showActions(task) {
  const wanted = actions(task);
  if (!$("actions").children.length) {
    const danger = (name) => (["Kill", "Remove"].includes(name) ? { class: "danger" } : {});
    $("actions").replaceChildren(...wanted.map(([name]) => make("button", name, { type: "button", ...danger(name) })));
  }
  wanted.forEach(([, enabled, run], place) => {
    const button = $("actions").children[place];
    // A button that is disabled loses the focus, and with it the place of who uses the keyboard.
    const focused = document.activeElement === button;
    button.disabled = !enabled;
    button.onclick = run;
    if (focused && !enabled) $("pane-title").focus();
  });
}

/** A paused task can be given more of what it had reached. */
function showRaise(task) {
  const paused = task.state === "paused" && !task.damaged;
  const form = $("raise");
  if (paused && form.hidden) {
    const reached = /the limit ([a-z-]+)=/.exec(task.error ?? "")?.[1] ?? null;
    clearErrors(form);
    clearList(form.querySelector("[data-list=limits]"));
    form.elements.on_limit.value = "";
    addLimit(form.querySelector("[data-list=limits]"), reached).catch(() => {});
  }
  form.hidden = !paused;
}

function showTitle(task) {
  const name = task.name ? ` ${plain(task.name)}` : "";
  setText($("pane-number"), `Task ${task.id}${name} `);
  const state = stateOf(task);
  setText($("pane-state"), state);
  $("pane-state").className = `state ${state}`;
  document.title = `Task ${task.id}${name} · dormouse`;
  if (shown && stateOf(shown) !== state) setText($("said"), `Task ${task.id} is ${state}`);
}

export async function showTask() {
  const id = chosen;
  if (id === null) return;
  let task;
  try {
    task = await get(taskPath(id));
  } catch (error) {
    if (id !== chosen) return;
    if (error.status !== 404) throw error;
    return showMissing(id);
  }
  if (id !== chosen) return;
  $("pane").classList.remove("missing");
  const first = shown === null;
  showTitle(task);
  showActions(task);
  showFields(task);
  showRaise(task);
  shown = task;
  if (first) follow(task.id);
}

function showMissing(id) {
  following?.abort();
  shown = null;
  $("pane").classList.add("missing");
  setText($("pane-number"), `There is no task ${plain(id)}`);
  setText($("pane-state"), "");
  $("pane-state").className = "";
  $("actions").replaceChildren();
  $("fields").replaceChildren();
  delete $("fields").dataset.names;
  $("raise").hidden = true;
}

/** Shows the task of this number or name; `null` shows none. */
export function choose(id) {
  if (id === chosen) return;
  chosen = id;
  shown = null;
  following?.abort();
  document.title = "dormouse";
  $("pane").hidden = id === null;
  $("actions").replaceChildren();
  $("logs").replaceChildren();
  $("fields").replaceChildren();
  delete $("fields").dataset.names;
  $("raise").hidden = true;
  setText($("pane-state"), "");
  setText($("pane-number"), id === null ? "" : `Task ${plain(id)}`);
  if (id === null) return;
  $("pane").scrollTop = 0;
  if (hasToken()) showTask().catch((error) => happened({ error }));
}

async function act(task, what, body) {
  try {
    const answer = await send(taskPath(task.id, `/${what}`), body);
    const late = answer.status === 202;
    happened({ said: late ? `Task ${task.id} computes, and is asked again when it blocks.` : null });
  } catch (error) {
    happened({ error });
  }
}

$("raise").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  clearErrors(form);
  try {
    const limits = readLimits(form.querySelector("[data-list=limits]"));
    await send(taskPath(shown.id, "/resume"), { limits, on_limit: form.elements.on_limit.value || null });
    happened({});
    $("pane-title").focus();
  } catch (error) {
    if (!showError(form, error)) happened({ error });
  }
});
prepareLimits($("raise").querySelector("[data-list=limits]"));

async function remove(task) {
  try {
    await ask(taskPath(task.id), { method: "DELETE" });
    happened({ gone: true });
  } catch (error) {
    happened({ error });
  }
}

async function save(task) {
  try {
    const answer = await ask(taskPath(task.id, "/snapshot"));
    const href = URL.createObjectURL(await answer.blob());
    make("a", [], { href, download: `task-${task.id}.snapshot` }).click();
    URL.revokeObjectURL(href);
  } catch (error) {
    happened({ error });
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

/** Output as it is written. */
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
    const piece = output(decoders[stream].decode(raw, { stream: true }).replace(/\r\n/g, "\n"));
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
    const answer = await ask(taskPath(id, "/logs?follow=true"), { signal: stop.signal });
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
    if (stop.signal.aborted || error instanceof Refused) return;
    // The daemon has gone, perhaps for a moment.
    setTimeout(() => following === stop && follow(id), 2000);
  }
}
