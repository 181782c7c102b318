// Words and numbers for people, and elements. Text from guests only ever becomes text.

export const $ = (id) => document.getElementById(id);

/** Makes an element. What it contains is text or other elements, never HTML. */
export function make(name, content, attributes = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...[content ?? []].flat());
  return element;
}

export function svg(name, attributes, content) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (content !== undefined) element.textContent = content;
  return element;
}

const escaped = (c) => {
  const code = c.codePointAt(0);
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
};

// Control characters and those that turn, join or hide text: all of Unicode's classes Cc, Cf, Zl, Zp and Cs
// but the two joiners, without which Persian and many emoji are spelt wrongly.
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const HIDDEN_IN_OUTPUT = /(?![\u200c\u200d\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text for one line: a name may hold what turns a line around, and it is shown, not obeyed. */
export const plain = (text) => String(text).replace(HIDDEN, escaped);

/** The same for output, which has lines and tabs. */
export const output = (text) => String(text).replace(HIDDEN_IN_OUTPUT, escaped);

export const number = (value) => value.toLocaleString("en");

export function bytes(value) {
  if (!value) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const place = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  const at = seconds < 1 ? 3 : place;
  const [name, size] = units[at];
  const whole = Math.floor(seconds / size);
  const [small, part] = units[at + 1] ?? [];
  const rest = part ? Math.floor((seconds % size) / part) : 0;
  return rest && whole < 10 ? `${whole} ${name} ${rest} ${small}` : `${whole} ${name}`;
}

/** How a task stands, in a word. */
export const stateOf = (task) => (task.damaged ? "damaged" : task.state);

/** How far a task's module is, which is being made ready. */
export function preparing({ preparing: found }) {
  if (!found) return null;
  const work = found.engine ? `ready for ${found.engine}` : "resumable";
  const percent = Math.floor(found.share * 100);
  return `its module is made ${work}: ${found.step}, ${percent} % done, about ${span(Math.ceil(found.left))} left`;
}

export const local = (time) => new Date(time).toLocaleString();

export function until(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  return seconds > 0 ? `in ${span(seconds)}` : "now";
}

/** Sets the text of an element where it is another, so that what is selected or read aloud stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A program and its arguments. */
export const programOf = ({ spec }) => [spec.program ?? "", ...(spec.args ?? [])].join(" ").trim();
