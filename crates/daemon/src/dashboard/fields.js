// Fields of forms: lists of rows, limits, and errors shown where they belong.

import { Refused, get } from "./api.js";
import { make, plain } from "./text.js";

/** What a list's rows are made from: its own template, or one that several lists have. */
const template = (list) =>
  list.dataset.rows ? document.getElementById(list.dataset.rows) : list.querySelector("template");

/** Adds a row to a list, and its button that takes it out again. */
export function addRow(list, focus = false) {
  const row = template(list).content.firstElementChild.cloneNode(true);
  row.querySelector(".drop").addEventListener("click", () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (next?.querySelector?.("input, select") ?? list.querySelector(".add")).focus();
  });
  list.querySelector(".rows").append(row);
  if (focus) row.querySelector("input, select").focus();
  return row;
}

export function prepareList(list) {
  list.querySelector(".add").addEventListener("click", () => addRow(list, true));
}

export function clearList(list) {
  list.querySelector(".rows").replaceChildren();
}

/** The fields of a row, by name. */
const cells = (row) =>
  Object.fromEntries([...row.querySelectorAll("[data-key]")].map((input) => [input.dataset.key, input.value.trim()]));

/** The rows of a list in which something was written. */
export function rows(list) {
  const all = [...list.querySelectorAll(".rows > *")];
  return all.map((row) => ({ row, ...cells(row) })).filter(({ row }) =>
    [...row.querySelectorAll("input")].some((input) => input.value.trim()));
}

let limits = null;

/** The limits that a task can have, with what the daemon gives by default. Asked once. */
export async function knowLimits() {
  limits ??= await get("/v1/limits");
  return limits;
}

/** Prepares a list of limits: a name to choose and a value, with the daemon's own as a hint. */
export function prepareLimits(list) {
  list.querySelector(".add").addEventListener("click", () => addLimit(list, null, true).catch(() => {}));
}

export async function addLimit(list, name = null, focus = false) {
  const known = await knowLimits();
  const row = addRow(list, focus);
  const [select, input] = [row.querySelector("select"), row.querySelector("input")];
  select.replaceChildren(...known.map((limit) => make("option", limit.name, { value: limit.name })));
  const taken = [...list.querySelectorAll("select")].filter((other) => other !== select).map((other) => other.value);
  select.value = name ?? known.find((limit) => !taken.includes(limit.name))?.name ?? known[0].name;
  const hint = () => {
    const limit = known.find((found) => found.name === select.value);
    input.placeholder = `${limit.value} by default`;
    select.title = limit.what;
  };
  select.addEventListener("change", hint);
  hint();
  return row;
}

/** The limits of a list as the API takes them. */
export function readLimits(list) {
  const limits = {};
  for (const { name, value } of rows(list)) {
    if (name in limits) throw new Refused("this limit is given twice", { field: `limits.${name}` });
    limits[name] = value;
  }
  return limits;
}

/** Where a field of the API's stands in the form: `schedule.every`, `limits.cpu`, `mounts[1].host`, `env.NAME`. */
function place(form, field) {
  const inner = field.replace(/^(network|schedule)\./, "");
  const [, name, index, rest] = /^([a-z_]+)(?:\[(\d+)\])?(?:\.(.+))?$/.exec(inner) ?? [];
  if (!name) return null;
  const list = form.querySelector(`[data-list="${name}"]`);
  if (!list) return form.querySelector(`[name="${name}"]`);
  const used = rows(list);
  const found = index === undefined ? used.find((row) => row.name === rest) : used[Number(index)];
  if (!found) return list.querySelector(".add");
  return found.row.querySelector(`[data-key="${index === undefined ? "value" : rest}"]`) ??
    found.row.querySelector("[data-key]");
}

export function clearErrors(form) {
  for (const note of form.querySelectorAll(".note")) note.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

let notes = 0;

/** Shows an error at its field, and goes there. Gives whether the form has that field. */
export function showError(form, error) {
  const input = error.field && place(form, error.field);
  if (!input) return false;
  const note = make("span", plain(error.message), { class: "note wrong", id: `note-${++notes}` });
  const label = input.closest("label");
  if (label) {
    // It describes the field, and is not part of its name.
    note.setAttribute("aria-hidden", "true");
    label.append(note);
  } else {
    (input.closest(".row") ?? input).after(note);
  }
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", note.id);
  const group = input.closest("details");
  if (group) group.open = true;
  input.focus();
  input.scrollIntoView({ block: "center" });
  return true;
}
