// Talks to the server. Everything carries the session's token, which stands behind "#" in the address.

import { unpack } from "./packed.js";

const KEY = "wootz-token-" + location.port;
const given = new URLSearchParams(location.hash.slice(1)).get("token");
const token = given || kept() || "";

/** The token is kept for reloads, where the browser keeps anything: a notebook's frame may forbid it. */
function kept() {
  try { return sessionStorage.getItem(KEY); } catch { return ""; }
}
if (given) { try { sessionStorage.setItem(KEY, given); } catch { /* the address still has it */ } }

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}`, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The explorer's server does not answer. Start it again with the same command: " +
      "every action that was confirmed is on the disk.");
  }
  if (answer.ok) return answer;
  let text = `${answer.status} ${answer.statusText}`;
  try { text = (await answer.json()).error || text; } catch { /* no JSON: the status has to do */ }
  throw new Error(text);
}

const query = (params) => new URLSearchParams(params).toString();
const body = (value) => ({
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value),
});

export const getJson = async (name, params = {}, options = {}) =>
  (await ask(`/api/${name}?${query(params)}`, options)).json();
export const getBlob = async (name, params = {}) => (await ask(`/api/${name}?${query(params)}`)).blob();
export const postJson = async (name, value) => (await ask(`/api/${name}`, body(value))).json();
export const postBlob = async (name, value) => (await ask(`/api/${name}`, body(value))).blob();

export async function getArrays(name, params = {}, options = {}) {
  return unpack(await (await ask(`/api/${name}?${query(params)}`, options)).arrayBuffer());
}
