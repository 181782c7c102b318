// Asks the daemon.

import { $ } from "./text.js";

let token = sessionStorage.getItem("token");

export const hasToken = () => Boolean(token);

/** A token is kept for this tab. */
export function keepToken(given) {
  token = given;
  sessionStorage.setItem("token", token);
}

/** What the daemon, or this page, does not take. Where it is about a field, that is named. */
export class Refused extends Error {
  constructor(message, { field, status } = {}) {
    super(message);
    this.field = field;
    this.status = status;
  }
}

export function askForToken() {
  $("page").hidden = true;
  $("pane").hidden = true;
  if (!$("token").open) $("token").showModal();
}

export async function ask(path, options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) {
    askForToken();
    throw new Refused("the daemon does not accept the token", { status: 401 });
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const { status } = answer;
    throw new Refused(problem.error ?? `the daemon answered ${status}`, { field: problem.field, status });
  }
  return answer;
}

export const get = async (path) => (await ask(path)).json();

export const send = (path, body, options = {}) => {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body ?? null), ...options });
};

export const post = async (path, body, options) => (await send(path, body, options)).json();

/** The path of a task's, by its number or its name. */
export const taskPath = (id, rest = "") => `/v1/tasks/${encodeURIComponent(id)}${rest}`;
