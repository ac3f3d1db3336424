// Where people agree, where they do not, and the settling of differences.

import { getJson } from "./api.js";
import { toast } from "./actions.js";
import { element } from "./cards.js";
import { app, className, CLASS } from "./store.js";

const $ = (id) => document.getElementById(id);
export const CONSENSUS = "consensus";

/** Opens the table; `settle` is called with the disputed rows, where the person wants to settle them. */
export async function showAgreement(settle) {
  const found = await getJson("agreement");
  if (found.people.length < 2) {
    toast("Agreement needs the labels of two people; change your name at the top right, or open a second window.");
    return;
  }
  const lines = [...found.pairs, ...(found.all ? [found.all] : [])].map((pair) => line(pair, found));
  $("agree-rows").replaceChildren(...lines);
  const open = found.open.length, all = found.disputed.length;
  $("agree-open").textContent = all
    ? `People differ on ${all} tiles; ${open ? `${open} of them are not settled` : "all of them are settled"}.`
    : "Nobody contradicts anybody.";
  const button = $("agree-settle");
  button.hidden = !all;
  button.textContent = open ? `Settle ${open} tiles` : "Look at what was settled";
  button.onclick = () => { $("agree").close(); settle(open ? found.open : found.disputed, corners(found)); };
  $("agree").showModal();
}

function line(pair, found) {
  const row = element("tr"), show = element("button", "small", `${pair.rows.length} differ`), last = element("td");
  const kappa = pair.kappa === null ? "-" : pair.kappa.toFixed(2);
  const range = pair.low === null ? "" : `${pair.low.toFixed(2)} to ${pair.high.toFixed(2)}`;
  const share = pair.n ? `${Math.floor(1000 * pair.n_same / pair.n) / 10} %` : "-"; // never 100 where two differ
  const cells = [pair === found.all ? `all ${pair.people.length} (Fleiss)` : pair.people.join(", "), String(pair.n), share, kappa, range];
  row.append(...cells.map((text, i) => element(i ? "td" : "th", i ? "number" : "", text)));
  show.disabled = !pair.rows.length;
  show.addEventListener("click", () => {
    $("agree").close();
    app.setFocus({ kind: "dispute", title: `${pair.people.join(" and ")} differ`, rows: pair.rows, corner: corners(found) });
  });
  last.append(show);
  row.append(last);
  return row;
}

/** What each person says of a disputed tile, such as "Ana: pore, Ben: artefact". */
function corners(found) {
  const said = ([row, words]) => [Number(row), words.map((word, i) => (word ? `${found.people[i]}: ${short(word)}` : ""))
    .filter(Boolean).join("\n")];
  return new Map(Object.entries(found.said).map(said));
}

const short = (word) => (word.startsWith(CLASS) ? className(word.slice(CLASS.length)) : word === "between" ? "in between" : word);
