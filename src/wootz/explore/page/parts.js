// A cluster in parts, as cards in the place of all clusters: small groups, joined as far as is wanted.

import { act, toast } from "./actions.js";
import { getArrays } from "./api.js";
import { fillCards, makeCard } from "./cards.js";
import { category } from "./colours.js";
import { app, clusterName, emit } from "./store.js";

const PARTS = 8;
const $ = (id) => document.getElementById(id);
let asked = 0, planned = 0;

/** Shows the parts of a cluster; nothing is written. */
export async function openParts(group, n = PARTS) {
  const turn = ++asked, ticked = app.parts?.group === group ? app.parts.ticked : new Set();
  try {
    const { about, arrays } = await getArrays("parts", { expert: app.expert, group, n });
    if (turn !== asked) return;
    const keys = about.cards.map((card) => card.key);
    app.parts = { ...about, ...arrays, n, keys, ticked: new Set(keys.filter((key) => ticked.has(key))) };
    emit("parts");
  } catch (error) {
    if (turn !== asked) return;
    toast(error.message, { bad: true });
    if (app.parts) closeParts();
  }
}

export function closeParts() {
  asked += 1;
  app.parts = null;
  emit("parts");
}

export const partName = (key) => `Part ${app.parts.keys.indexOf(key) + 1}`;

export function rowsOfPart(key) {
  const { rows, part, keys } = app.parts, wanted = keys.indexOf(key);
  return Array.from(rows.filter((_, i) => part[i] === wanted));
}

/** Whether the cluster still holds the tiles that were taken apart: another action may have moved some. */
export function partsAreOld() {
  const { group, rows } = app.parts, code = app.groups.indexOf(group);
  let n = 0;
  for (let i = 0; i < app.group.length; i++) n += app.group[i] === code;
  return n !== rows.length || rows.some((row) => app.group[row] !== code);
}

export function drawParts(box, { onFocus }) {
  const { cards, rows, part, ticked } = app.parts, nWords = app.verdicts.length;
  const counts = new Int32Array(cards.length * nWords), kept = new Int32Array(cards.length);
  for (let i = 0; i < rows.length; i++) {
    counts[part[i] * nWords + app.verdict[rows[i]]]++;
    kept[part[i]] += app.kept ? app.kept[rows[i]] : 1;
  }
  fillCards(box, cards.map((card, k) => makeCard(card, {
    name: partName(card.key), short: String(k + 1), colour: category(k), kept: kept[k], ticked: ticked.has(card.key),
    current: app.focus.kind === "part" && app.focus.key === card.key,
    done: app.verdicts.map((_, code) => ({ code, n: counts[k * nWords + code] })).filter((v) => v.code && v.n).sort((a, b) => b.n - a.n),
    onFocus, onTick: (key, isTicked) => { if (isTicked) ticked.add(key); else ticked.delete(key); drawBar(); },
  })));
  drawBar();
}

function drawBar() {
  const { by, most, cards, ticked, group } = app.parts;
  $("parts-title").textContent = `${clusterName(group)} in ${cards.length} part${cards.length === 1 ? "" : "s"}`;
  $("parts-title").title = by === "tree" ? "Small groups that this cluster was joined from, joined as far as the slider says"
    : "Made now, of the features: the clustering left no small groups for this cluster";
  Object.assign($("parts-number"), { min: 2, max: Math.max(most, 2), value: cards.length, disabled: most < 3 });
  $("parts-accept").textContent = ticked.size ? `Make a cluster of ${ticked.size} ticked` : `Make ${cards.length} clusters`;
  $("parts-accept").disabled = cards.length < 2 || ticked.size === cards.length;
}

/** Makes clusters of all parts, or one of those that are ticked and one of the others. */
async function accept() {
  const { keys, ticked, group } = app.parts;
  const heaps = ticked.size ? [keys.filter((key) => ticked.has(key)), keys.filter((key) => !ticked.has(key))] : keys.map((key) => [key]);
  const parts = heaps.map((some) => some.flatMap(rowsOfPart).filter((row) => !app.kept || app.kept[row])).filter((rows) => rows.length);
  if (parts.length < 2) { toast("The filters leave one part only; take them away, or choose more parts."); return; }
  await act("split", { parts, of: group });
}

export function connectParts() {
  $("parts-close").addEventListener("click", closeParts);
  $("parts-accept").addEventListener("click", accept);
  $("parts-number").addEventListener("input", (e) => {
    clearTimeout(planned);
    planned = setTimeout(() => openParts(app.parts.group, Number(e.target.value)), 150);
  });
}
