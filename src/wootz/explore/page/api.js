// Talks to the server. Everything carries the session's token, which stands behind "#" in the address.

const KEY = "wootz-token-" + location.port;
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) sessionStorage.setItem(KEY, given);
const token = given || sessionStorage.getItem(KEY) || "";

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

const TYPES = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, uint32: Uint32Array };

/** Unpacks typed arrays: see wootz.explore.points.pack. */
export async function getArrays(name, params = {}, options = {}) {
  const buffer = await (await ask(`/api/${name}?${query(params)}`, options)).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const a of about.arrays) arrays[a.name] = new TYPES[a.dtype](buffer, 4 + length + a.offset, a.length);
  return { about, arrays };
}
