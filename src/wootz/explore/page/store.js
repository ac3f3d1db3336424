// What the page knows, in one place; views listen for changes by name.

export const app = {
  session: null, expert: "",
  by: "",               // who settles differences, while the expert is the consensus
  x: new Float32Array(0), y: new Float32Array(0),
  seq: 0, group: new Int32Array(0), verdict: new Int32Array(0),
  groups: [], groupNames: [], verdicts: [""], classes: [], cards: [],
  undo: "", redo: "", notes: [], // of everybody, oldest first: {id, actor, when, text, kind, key, n, rows}
  focus: { kind: "none", title: "Tiles", rows: [] }, // what the grid shows
  shown: [],            // rows of the focus after "to do only"
  picked: new Set(),    // rows that are marked in the grid
  ticked: new Set(),    // keys of clusters
  parts: null,          // a cluster in parts, while it is looked at
  filters: [], kept: null, // what the tiles shown must be, and 1 for those that are
  pictured: null,       // in a copy to look at: 1 for rows with a picture
  here: -1,             // the row in the preview
  noted: new Map(),     // row -> notes on it
  lastClass: "",
  head: {}, audit: {},  // what training and the latest audit came to
  again: null,          // actions that a head contradicts; null while nobody looked
  columns: new Map(),   // name -> {kind, values, low, high, array}
};

const listeners = new Map();

export function on(names, listener) {
  for (const name of names.split(" ")) {
    if (!listeners.has(name)) listeners.set(name, []);
    listeners.get(name).push(listener);
  }
}

export function emit(name) {
  for (const listener of listeners.get(name) || []) listener();
}

export const CLASS = "class:";

/** Class, artefact or in between of a row, in words; "" for nothing. */
export function verdictName(code) {
  const word = app.verdicts[code];
  if (!word) return "";
  if (word === "between") return "in between";
  return word.startsWith(CLASS) ? className(word.slice(CLASS.length)) : word;
}

export function className(key) {
  const found = app.classes.find((c) => c.key === key);
  return found ? found.name : key;
}

/** The key of a class by what a person typed: case and outer spaces do not matter. */
export function classKey(text) {
  const wanted = text.trim().toLowerCase();
  const found = app.classes.find((c) => c.name.toLowerCase() === wanted || c.key.toLowerCase() === wanted);
  return found ? found.key : text.trim();
}

const signed = (note) => (note.actor === app.expert ? note.text : `${note.actor}: ${note.text}`);

/** Notes on a cluster, in words. */
export const notesOfGroup = (key) => app.notes.filter((note) => note.kind === "group" && note.key === key).map(signed);

/** Notes on each tile that has some, in words; those on its cluster stand on the card. */
export function notesByRow() {
  const found = new Map();
  for (const note of app.notes) for (const row of note.rows) found.set(row, [...(found.get(row) || []), signed(note)]);
  return found;
}

export const clusterName = (key) => app.groupNames[app.groups.indexOf(key)] ?? key;

export function rowsOfGroup(key) {
  const code = app.groups.indexOf(key), rows = [];
  if (code >= 0) for (let i = 0; i < app.group.length; i++) if (app.group[i] === code) rows.push(i);
  return rows;
}

/** Tiles that pass the filters, of each group; null without filters. */
export function keptByGroup() {
  if (!app.kept) return null;
  const counts = new Int32Array(app.groups.length);
  for (let i = 0; i < app.group.length; i++) if (app.group[i] >= 0) counts[app.group[i]] += app.kept[i];
  return counts;
}

export function rowsOfVerdict(code) {
  const rows = [];
  for (let i = 0; i < app.verdict.length; i++) if (app.verdict[i] === code) rows.push(i);
  return rows;
}

/** What an action is about: the picked tiles, else all shown; in an audit the one looked at, to settle none. */
export function chosenRows() {
  if (app.focus.kind === "settle" && !app.picked.size) return [];
  if (app.focus.kind === "audit" && !app.picked.size) return app.shown.includes(app.here) ? [app.here] : app.shown.slice(0, 1);
  if (app.focus.kind === "card" && !app.picked.size) return app.shown.filter((row) => !app.verdict[row]); // the others were picked out
  return app.picked.size ? [...app.picked] : app.shown.slice();
}

export const usedClasses = () => {
  const counts = countVerdicts();
  return app.classes
    .map((c) => ({ ...c, code: app.verdicts.indexOf(CLASS + c.key) }))
    .map((c) => ({ ...c, n: c.code >= 0 ? counts[c.code] : 0 }))
    .filter((c) => c.n || c.definition || c.examples.length || c.colour);
};

export function countVerdicts() {
  const counts = new Int32Array(app.verdicts.length);
  for (let i = 0; i < app.verdict.length; i++) counts[app.verdict[i]]++;
  return counts;
}
