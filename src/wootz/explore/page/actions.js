// What a person does goes to the server first; the page shows it once it is confirmed to be on the disk.

import { getArrays, getJson, postJson } from "./api.js";
import { refilter } from "./filters.js";
import { sentRows } from "./packed.js";
import { app, CLASS, classKey, className, chosenRows, clusterName, emit, notesByRow, rowsOfGroup } from "./store.js";
import { element } from "./cards.js";

const session = crypto.randomUUID().slice(0, 8);
let queue = Promise.resolve();

/** Says something at the bottom of the page; errors stay until they are clicked away. */
export function toast(text, { bad = false, undo = false } = {}) {
  const box = element("div", bad ? "toast bad" : "toast"), close = element("button", "", bad ? "Close" : "Undo");
  box.append(element("span", "", text));
  if (bad || undo) box.append(close);
  close.addEventListener("click", () => { box.remove(); if (undo) act("undo"); });
  const all = document.getElementById("toasts");
  all.append(box);
  while (all.children.length > 3) all.firstChild.remove();
  if (!bad) setTimeout(() => box.remove(), app.focus.kind === "card" ? 2000 : 5000); // it covers tiles of the next card
}

/** Takes the state from the server; cards only where groups changed. */
export async function refresh() {
  const { about, arrays } = await getArrays("state", { expert: app.expert });
  const same = app.cards.length && about.groups.join() === app.groups.join() && equal(arrays.group, app.group);
  const cards = same ? app.cards : await getJson("cards", { expert: app.expert }); // groups and their cards change at once
  Object.assign(app, { cards, seq: about.seq, groups: about.groups, groupNames: about.group_names, verdicts: about.verdicts, classes: about.classes,
    undo: about.undo, redo: about.redo, notes: about.notes, group: arrays.group, verdict: arrays.verdict,
    experts: about.experts });
  app.noted = notesByRow();
  for (const key of app.ticked) if (!app.groups.includes(key)) app.ticked.delete(key);
  await refilter();
  emit("state");
}

function equal(a, b) {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Does an action; the same id is sent again if the answer got lost, and counts once. */
export function act(op, given = {}, said = "") {
  const id = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  const fields = { ...given };
  if (fields.rows) fields.rows = sentRows(fields.rows, app.x.length);
  if (fields.parts) fields.parts = fields.parts.map((rows) => sentRows(rows, app.x.length));
  const address = op === "adopt" ? "adopt" : "act"; // the server works out what it names
  const by = app.by ? { by: app.by } : {};
  const request = { id, op, actor: app.expert, session, how: how(), ...by, ...fields };
  queue = queue.then(async () => {
    const before = { undo: app.undo, redo: app.redo };
    try {
      await postJson(address, request).catch(async (error) => {
        if (!String(error.message).startsWith("The explorer's server does not answer")) throw error;
        await new Promise((wait) => setTimeout(wait, 400));
        return postJson(address, request);
      });
      await refresh();
      if (op === "undo") toast(`Undone: ${before.undo || "that action"}`);
      else if (op === "redo") toast(`Done again: ${before.redo || "that action"}`);
      else toast(said || app.undo, { undo: true });
      return true;
    } catch (error) {
      toast(error.message, { bad: true });
      return false;
    }
  });
  return queue;
}

const how = () => ({ view: app.focus.kind, of: app.focus.key, picked: app.picked.size > 0, ...app.focus.how });

function need(rows) {
  if (!rows.length) toast(app.focus.kind === "settle" ? "Pick the tiles that this settles first: click them, or A for all."
    : "Choose tiles first: a cluster on the left, a lasso on the map, or tiles in the middle.");
  return rows.length > 0;
}

export async function nameChosen(text) {
  const rows = chosenRows(), key = classKey(text);
  if (!key || !need(rows)) return;
  app.lastClass = key;
  const group = app.focus.kind === "cluster" && !app.picked.size ? { group: app.focus.key } : {};
  await act("name", { class: key, rows, how: { ...how(), ...group } });
  app.picked.clear();
  emit("state");
}

export async function judge(op) {
  const rows = chosenRows();
  if (!need(rows)) return;
  await act(op, { rows });
  app.picked.clear();
  emit("state");
}

export async function mergeTicked() {
  const keys = app.groups.filter((key) => app.ticked.has(key));
  if (keys.length < 2) { toast("Tick at least two clusters to merge."); return; }
  const rows = keys.slice(1).flatMap(rowsOfGroup).filter((row) => !app.kept || app.kept[row]);
  if (!rows.length) { toast("The filters leave nothing to merge."); return; }
  await act("merge", { into: keys[0], rows }, `Merged ${keys.map(clusterName).join(", ")}`);
  app.ticked.clear();
  emit("merged");
}

export async function moveChosen(into) {
  const rows = chosenRows();
  if (!need(rows)) return;
  await act("move", { into, rows });
  app.picked.clear();
  emit("state");
}

export async function similarToChosen() {
  const rows = chosenRows();
  if (!need(rows)) return;
  try {
    const found = await postJson("similar", { rows: rows.slice(0, 5000), n: 300 });
    app.setFocus({ kind: "similar", title: "Most like what you chose", rows: found.rows,
      corner: new Map(found.rows.map((row, i) => [row, found.scores[i].toFixed(2)])), how: { like: rows.slice(0, 50) } });
  } catch (error) { toast(error.message, { bad: true }); }
}

export async function propose(key) {
  if (!key) { toast("Name some tiles first; proposals are made from named tiles."); return; }
  app.lastClass = key;
  if (app.head.classes?.some((c) => c.word === CLASS + key)) { emit("ranked"); return; } // by the trained head
  try {
    const found = await postJson("propose", { expert: app.expert, class: key, n: 300 });
    app.setFocus({ kind: "proposal", key, title: `Proposals for ${className(key)}`, rows: found.rows,
      text: "surest first; below 0 they look more like another class",
      corner: new Map(found.rows.map((row, i) => [row, found.scores[i].toFixed(2)])) });
  } catch (error) { toast(error.message, { bad: true }); }
}

export async function answerProposal(op) {
  const rows = chosenRows(), { key } = app.focus, handled = new Set(rows);
  if (!need(rows) || !(await act(op, { class: key, rows }))) return;
  app.picked.clear();
  app.focus.rows = app.focus.rows.filter((row) => !handled.has(row));
  if (app.focus.rows.length) app.setFocus({ ...app.focus });
  else await propose(key);
}

export async function trySplit(nParts, rows = chosenRows()) {
  if (!need(rows)) return;
  const whole = app.focus.kind === "cluster" && !app.picked.size && rows.length === app.focus.rows.length;
  const of = app.focus.kind === "split" ? app.focus.of : whole ? app.focus.key : undefined;
  try {
    const parts = await postJson("split", { rows: sentRows(rows, app.x.length), parts: nParts, seed: 0 });
    const letter = new Map(parts.flatMap((part, i) => part.map((row) => [row, String.fromCharCode(65 + i)])));
    app.picked.clear();
    app.setFocus({ kind: "split", title: `Split of ${rows.length} tiles`, rows: parts.flat(), parts, corner: letter, all: rows, of,
      text: parts.map((part, i) => `${String.fromCharCode(65 + i)}: ${part.length}`).join(", "), keep: true });
  } catch (error) { toast(error.message, { bad: true }); }
}

export async function acceptSplit() {
  const { parts, of } = app.focus;
  if (!(await act("split", of ? { parts, of } : { parts }))) return;
  emit("split-done");
}
