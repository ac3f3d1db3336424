// Labels of the head that are accepted unseen: how many an audit bears out, for the precision that is asked for.

import { act, toast } from "./actions.js";
import { postJson } from "./api.js";
import { element } from "./cards.js";
import { wordName } from "./review.js";
import { app } from "./store.js";

const LOW = 0.5, HIGH = 0.999;
let precision = 0.975, found = null, asked = 0, planned = 0;
const box = element("div", "offer"), button = element("button", "main"), wanted = element("input"), text = element("p"), classes = element("p", "soft");

export function connectOffer() {
  const label = element("label", "", "expected precision ≥ "), line = element("div", "line");
  Object.assign(wanted, { type: "number", min: LOW, max: HIGH, step: 0.005, value: precision, id: "precision" });
  button.id = "adopt";
  text.id = "offer-text";
  wanted.addEventListener("input", () => { clearTimeout(planned); planned = setTimeout(() => loadOffer(true), 200); });
  button.addEventListener("click", accept);
  label.append(wanted);
  line.append(button, label);
  box.append(line, text, classes);
}

/** Asks how many labels can be accepted; `typed` where the number was changed. */
export async function loadOffer(typed = false) {
  const turn = ++asked, { audit } = app, value = Number(wanted.value);
  if (!audit.is_current || !audit.n_judged) { found = null; draw(); return; }
  if (!(value >= LOW && value <= HIGH)) { found = { error: `The precision must be a number from ${LOW} to ${HIGH}.` }; draw(); return; }
  precision = value;
  if (typed) button.disabled = true; // of the number before
  let answer;
  try { answer = await postJson("offer", { expert: app.expert, precision }); } catch (error) { answer = { error: error.message }; }
  if (turn !== asked) return;
  found = answer;
  draw();
}

const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

function draw() {
  box.hidden = !found;
  if (!found) return;
  const { error, n, seen } = found;
  button.disabled = Boolean(error);
  button.textContent = error ? "Accept labels" : `Accept ${n} labels`;
  button.title = error ? "" : `Names ${n} tiles that nobody looked at as the head does, in one step: undo takes it back. They teach no head.`;
  if (error) { text.textContent = error; classes.textContent = ""; return; }
  const range = `${percent(seen.low)} to ${percent(seen.high)}`;
  text.textContent = seen.n ? `The audit alone, of these: ${seen.value === null ? "?" : percent(seen.value)} right (${range}, of ${seen.n} judged)`
    : "The audit alone says nothing of these: none like them is judged.";
  text.title = `Confidence from ${found.limit.toFixed(3)} on, as the audit corrects it; ${percent(found.expected)} of them are expected to be right.`;
  classes.textContent = found.classes.map((c) => `${wordName(c.word)} ${c.n}`).join(" · ");
  classes.title = found.classes.map((c) => `${wordName(c.word)}: ${c.n} accepted; ${c.right} of ${c.n_judged} judged ones right`).join("\n");
}

async function accept() {
  if (!found || found.error) { toast(found?.error || "Judge an audit first."); return; }
  button.disabled = true;
  await act("adopt", { precision });
}

/** The offer, as a part of the head's panel; null where there is none. */
export const offerBox = () => (found ? box : null);
