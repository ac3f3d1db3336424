// Notes on a cluster or on tiles: written in a dialog, shown again on the card, the tile and in its facts.

import { act, toast } from "./actions.js";
import { element } from "./cards.js";
import { app, chosenRows, className, clusterName, emit, on, rowsOfGroup } from "./store.js";

const $ = (id) => document.getElementById(id);
let before = "";

/** What a new note would be about: a cluster that is shown as a whole, or tiles. */
function target() {
  const { focus, picked } = app;
  if (focus.kind !== "cluster" || picked.size) {
    const rows = chosenRows();
    return { rows, title: rows.length === 1 ? "this tile" : `${rows.length} tiles`, fields: {} };
  }
  const rows = rowsOfGroup(focus.key).filter((row) => !app.kept || app.kept[row]);
  return { rows, title: clusterName(focus.key), fields: { about: { group: focus.key } } };
}

function subject(note) {
  if (note.kind === "group") return clusterName(note.key);
  if (note.kind === "class") return `class ${className(note.key)}`;
  return note.n === 1 ? "a tile" : `${note.n} tiles`;
}

/** Shows the tiles that a note is about. */
function visit(note) {
  const rows = note.kind === "group" ? rowsOfGroup(note.key) : note.rows;
  $("note-box").close();
  if (!rows.length) toast("The tiles of this note are not here.");
  else app.setFocus({ kind: "note", key: note.id, title: `Note on ${subject(note)}`, rows, text: note.text, how: { note: note.id } });
}

function line(note) {
  const item = element("li"), head = element("div", "soft"), show = element("button", "small", subject(note));
  const when = note.when ? new Date(note.when).toLocaleString() : "";
  show.type = "button";
  show.title = "Show these tiles";
  show.addEventListener("click", () => visit(note));
  head.append(show, ` ${note.actor} · ${when} `);
  if (note.voice === app.expert) {
    const remove = element("button", "small", "Remove");
    remove.type = "button";
    remove.addEventListener("click", async () => { if (await act("undo", { target: note.id })) $("note-box").close(); });
    head.append(remove);
  }
  item.append(element("p", "note-text", note.text), head);
  return item;
}

export function openNotes() {
  const { rows, title, fields } = target(), dialog = $("note-box");
  if (!rows.length && !app.notes.length) { toast("Choose a cluster or tiles first."); return; }
  $("note-title").textContent = rows.length ? `Note on ${title}` : "Notes";
  $("note-text").value = "";
  $("note-text").disabled = $("note-save").disabled = !rows.length;
  $("note-list").replaceChildren(...app.notes.slice().reverse().map(line));
  $("note-all").hidden = !app.notes.length;
  dialog.returnValue = "";
  dialog.onclose = () => {
    const text = $("note-text").value.trim();
    if (dialog.returnValue === "ok" && text) act("note", { ...fields, rows, text }, `Noted on ${title}`);
  };
  dialog.showModal();
}

export function connectNotes() {
  $("note").addEventListener("click", openNotes);
  $("note-text").addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); $("note-box").close("ok"); }
  });
  on("state", () => { // the tile in view may have a new note, or one less
    const now = app.notes.map((note) => note.id).join();
    if (now !== before) { before = now; emit("here"); }
  });
}
