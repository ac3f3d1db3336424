// Puts the page together: loads the archive, connects views, buttons and keys.

import { getArrays, getBlob, getJson } from "./api.js";
import { acceptSplit, act, answerProposal, judge, mergeTicked, moveChosen, nameChosen, propose, refresh, similarToChosen,
  toast, trySplit } from "./actions.js";
import { drawCards, element, orderedCards } from "./cards.js";
import { CONSENSUS, showAgreement } from "./agreement.js";
import { askExpert, drawClasses, showHistory } from "./classes.js";
import { isDark } from "./colours.js";
import { connectFilters } from "./filters.js";
import { Grid } from "./grid.js";
import { colourChoices, colouring, drawLegend, loadColumn, progressWords } from "./legend.js";
import { MapView } from "./map.js";
import { connectNotes, openNotes } from "./notes.js";
import { closeParts, connectParts, drawParts, openParts, partName, partsAreOld, rowsOfPart } from "./parts.js";
import { drawPreview, showPreview } from "./preview.js";
import { isReview, reviewOffer } from "./review.js";
import { connectTraining, drawHead, loadHead, lookAgain } from "./training.js";
import { app, clusterName, emit, on, rowsOfGroup, usedClasses } from "./store.js";
import { drawTile } from "./thumbs.js";

const $ = (id) => document.getElementById(id);
const grid = new Grid($("grid")), second = new Grid($("grid-2"));
const map = new MapView($("map"), $("map-over"));
let factor = 4;

let asked = 0; // what was asked for last is shown, whichever answer comes last

app.setFocus = (focus) => {
  asked += 1;
  const again = app.focus.kind === focus.kind && app.focus.key === focus.key && ["cluster", "part"].includes(focus.kind);
  app.focus = focus;
  if (!again) { app.picked.clear(); $("grid").scrollTop = 0; grid.at = 0; }
  drawFocus();
  if (app.shown.length && !again) { app.here = app.shown[0]; emit("here"); }
};

/** Typical tiles first, where the clustering left scores of outliers. */
async function ordered(rows) {
  const name = `outlier_${app.session.clustering}`;
  if (!app.session.columns.includes(name)) return rows;
  const { array } = await loadColumn(name);
  return rows.sort((a, b) => array[a] - array[b] || a - b);
}

async function focusGroup(key) {
  const turn = ++asked, rows = await ordered(rowsOfGroup(key));
  if (turn !== asked) return;
  app.setFocus({ kind: "cluster", key, title: clusterName(key), rows, text: "typical first" });
}

async function focusPart(key) {
  const turn = ++asked, { group, n } = app.parts, rows = await ordered(rowsOfPart(key));
  if (turn !== asked) return;
  app.setFocus({ kind: "part", key, title: `${clusterName(group)}, ${partName(key).toLowerCase()}`, rows, text: "typical first",
    how: { group, parts: n } });
}

function drawFocus() {
  const { focus } = app;
  app.onlyOpen = $("only-open").checked;
  const open = (rows) => {
    const found = app.onlyOpen ? rows.filter((row) => !app.verdict[row]) : rows;
    return app.pictured || app.kept
      ? found.filter((row) => (!app.pictured || app.pictured[row]) && (!app.kept || app.kept[row])) : found;
  };
  app.shown = open(focus.rows);
  const compare = focus.kind === "compare";
  $("grid-2").hidden = !compare;
  for (const g of [grid, second]) g.whole = focus.kind === "card"; // at one glance
  grid.show(app.shown, { corner: focus.corner, title: compare ? clusterName(focus.keys[0]) : "" });
  if (compare) {
    const other = open(focus.other);
    second.show(other, { title: clusterName(focus.keys[1]) });
    app.shown = app.shown.concat(other);
  }
  $("focus-title").textContent = $("focus-title").title = focus.title;
  drawChosen();
  drawOffer();
  const lit = focus.kind === "none" || focus.rows.length === app.x.length ? null : new Uint8Array(app.x.length);
  if (lit) for (const rows of [focus.rows, focus.other || []]) for (let i = 0; i < rows.length; i++) lit[rows[i]] = 1;
  map.focus = lit;
  drawMarks();
  map.redraw();
  for (const card of $("cards").children) {
    card.toggleAttribute("aria-current", false);
    const shown = focus.kind === (app.parts ? "part" : "cluster") && card.dataset.key === focus.key;
    if (shown) card.setAttribute("aria-current", "true");
  }
}

function drawChosen() {
  const n = app.picked.size, all = app.shown.length;
  const every = app.focus.rows.length + (app.focus.other || []).length;
  const why = [app.kept && "filtered", app.pictured && "those with pictures"].filter(Boolean).join(", ");
  const some = why && all < every ? `${all} of ${every} tiles, ${why}` : `${all} tiles`;
  $("focus-text").textContent = [some, n ? `${n} picked` : "", app.focus.text || ""].filter(Boolean).join(" · ");
  const one = app.focus.kind === "audit" ? "this tile" : app.focus.kind === "settle" ? "picked tiles" : app.focus.kind === "card" ? "the rest" : "";
  const what = n ? `${n} picked` : all && one ? one : all ? `all ${all}` : "";
  $("name").placeholder = what ? `Name ${what}` : "Name these tiles";
  for (const id of ["artefact", "between", "clear", "split", "similar", "move"]) $(id).disabled = !all;
}

function drawMarks() {
  map.picked = [...app.picked];
  map.here = app.here;
  map.drawOver();
}

/** The second bar: what a split or a proposal asks. */
function drawOffer() {
  const { kind, parts, all, key } = app.focus, bar = $("offer");
  bar.hidden = kind !== "split" && kind !== "proposal" && !isReview(kind);
  if (bar.hidden) return;
  if (isReview(kind)) { bar.replaceChildren(...reviewOffer()); return; }
  const button = (text, work, main = false) => {
    const made = element("button", main ? "main" : "", text);
    made.addEventListener("click", work);
    return made;
  };
  if (kind === "split") {
    const numbers = [2, 3, 4, 5, 6].map((n) => {
      const made = button(String(n), () => trySplit(n, all));
      made.setAttribute("aria-pressed", String(n === parts.length));
      return made;
    });
    bar.replaceChildren("Parts:", ...numbers, button("Accept split", acceptSplit, true), button("Cancel", () => focusFirst()),
      element("span", "soft", "Nothing is changed until you accept."));
  } else {
    bar.replaceChildren(button("Accept", () => answerProposal("accept"), true), button("Refuse", () => answerProposal("refuse")),
      button("Done", () => focusFirst()), element("span", "soft", "Picked tiles, or all shown. Refused ones are not proposed again."));
  }
  bar.dataset.key = key || "";
}

async function focusFirst() {
  if (app.parts) { await focusPart(app.parts.keys[0]); return; }
  const cards = orderedCards($("cluster-order").value);
  if (cards.length) await focusGroup(cards[0].key);
  else app.setFocus({ kind: "none", title: "All tiles", rows: [...app.x.keys()] });
}

function step(by) {
  const { parts } = app, keys = parts ? parts.keys : orderedCards($("cluster-order").value).map((c) => c.key);
  if (!keys.length) return;
  const at = app.focus.kind === (parts ? "part" : "cluster") ? keys.indexOf(app.focus.key) : -1;
  const key = keys[Math.min(Math.max(at + by, 0), keys.length - 1)];
  if (parts) focusPart(key);
  else focusGroup(key);
  $("cards").querySelector(`[data-key="${CSS.escape(key)}"]`)?.scrollIntoView({ block: "nearest" });
}

function tick(key, isTicked) {
  if (isTicked) app.ticked.add(key); else app.ticked.delete(key);
  drawTicked();
}

function drawTicked() {
  $("checked-bar").hidden = !app.ticked.size || Boolean(app.parts);
  $("checked-text").textContent = `${app.ticked.size} ticked`;
  $("merge").disabled = app.ticked.size < 2;
  $("compare").disabled = app.ticked.size !== 2;
}

async function compare() {
  const keys = [...app.ticked];
  if (keys.length !== 2) { toast("Tick two clusters to compare."); return; }
  const [rows, other] = await Promise.all(keys.map((key) => ordered(rowsOfGroup(key))));
  app.setFocus({ kind: "compare", keys, title: "Side by side", rows, other });
}

function drawState() {
  $("parts-bar").hidden = !app.parts;
  $("cluster-bar").hidden = Boolean(app.parts);
  if (app.parts) drawParts($("cards"), { onFocus: focusPart });
  else drawCards($("cards"), $("cluster-order").value, { onFocus: focusGroup, onTick: tick, onParts: openParts });
  drawClasses($("classes"));
  drawHead($("head"));
  drawTicked();
  const { share, text } = progressWords();
  $("progress-bar").style.width = `${100 * share}%`;
  $("progress-text").textContent = text;
  const loose = looseRows();
  $("loose").hidden = !loose.length || !app.groups.length;
  $("loose").textContent = `${loose.length} tiles in no cluster`;
  $("n-clusters").textContent = app.groups.length || "";
  $("undo").disabled = !app.undo;
  $("redo").disabled = !app.redo;
  $("undo").title = app.undo ? `Undo: ${app.undo} (Ctrl+Z)` : "Nothing to undo";
  $("redo").title = app.redo ? `Redo: ${app.redo} (Ctrl+Y)` : "Nothing to redo";
  const head = element("option", "", "Move to …");
  head.value = "";
  $("move").replaceChildren(head, ...app.groups.map((key) => {
    const option = element("option", "", clusterName(key)); option.value = key; return option;
  }));
  recolour();
}

/** Tiles that were left out of the clustering, such as those without contrast. */
function looseRows() {
  const rows = [];
  for (let i = 0; i < app.group.length; i++) if (app.group[i] < 0) rows.push(i);
  return rows;
}

let turn = 0;
async function recolour() {
  const mine = ++turn, found = await colouring($("colour").value);
  if (mine !== turn) return;
  map.colours = found.colours;
  map.redraw();
  drawLegend($("legend"), found, (entry) => {
    const rows = [];
    for (let i = 0; i < entry.codes.length; i++) if (entry.codes[i] === entry.code) rows.push(i);
    app.setFocus({ kind: "value", title: entry.name, rows, how: { column: $("colour").value, value: entry.name } });
  });
}

/** After an action, of this window or another: the focus follows, the rest is drawn anew. */
async function stateChanged() {
  if (app.parts && !app.groups.includes(app.parts.group)) { closeParts(); return; } // it became other clusters
  if (app.parts && partsAreOld()) { await openParts(app.parts.group, app.parts.n); return; }
  pickKept();
  drawState();
  const { focus } = app;
  if (focus.kind === "cluster") {
    if (!app.groups.includes(focus.key)) focusFirst();
    else await focusGroup(focus.key);
  } else drawFocus();
}

/** Parts of a cluster were opened, taken apart anew, or left. */
async function partsChanged() {
  const { parts, focus } = app;
  drawState();
  if (parts) await focusPart(focus.kind === "part" && parts.keys.includes(focus.key) ? focus.key : parts.keys[0]);
  else if (focus.kind !== "part") drawFocus();
  else if (app.groups.includes(focus.how.group)) await focusGroup(focus.how.group);
  else await focusFirst();
}

function toggleParts() {
  if (app.parts) closeParts();
  else if (app.focus.kind === "cluster") return openParts(app.focus.key);
  else toast("Choose a cluster on the left first.");
  return null;
}

function connectButtons() {
  const click = { undo: () => act("undo"), redo: () => act("redo"), merge: mergeTicked, compare, fit: () => map.fit(),
    artefact: () => judge("artefact"), between: () => judge("between"), clear: () => judge("clear"), split: () => trySplit(2),
    similar: similarToChosen, "help-open": () => $("help").showModal(), untick: () => { app.ticked.clear(); drawState(); },
    "history-open": async () => showHistory(await getJson("history", { expert: app.expert })), export: exportLabels,
    "agree-button": () => showAgreement(settle),
    expert: async () => {
      if (app.by) app.expert = app.by; // back to one's own labels
      else app.expert = await askExpert({ cancel: true });
      app.by = "";
      await start();
    },
    loose: () => app.setFocus({ kind: "loose", title: "In no cluster", rows: looseRows() }),
    "tool-lasso": () => tool("lasso"), "tool-pan": () => tool("pan"), theme: () => setTheme(isDark() ? "light" : "dark") };
  for (const [id, work] of Object.entries(click)) $(id).addEventListener("click", () => run(work));
  $("name-form").addEventListener("submit", (e) => {
    e.preventDefault();
    const text = $("name").value;
    $("name").value = "";
    $("grid").focus();
    nameChosen(text);
  });
  $("cluster-order").addEventListener("change", drawState);
  $("colour").addEventListener("change", recolour);
  $("only-open").addEventListener("change", drawFocus);
  $("move").addEventListener("change", (e) => { if (e.target.value) moveChosen(e.target.value); e.target.value = ""; });
  $("tile-size").addEventListener("input", (e) => {
    for (const g of [grid, second]) { g.whole = false; g.size = Number(e.target.value); g.draw(); }
  });
  $("factors").addEventListener("click", (e) => {
    if (e.target.dataset.factor === undefined) return;
    setFactor(Number(e.target.dataset.factor));
  });
  $("find").addEventListener("change", async (e) => {
    const text = e.target.value.trim();
    if (!text) return;
    const rows = await getJson("find", { text }).catch((error) => { toast(error.message, { bad: true }); return []; });
    app.setFocus({ kind: "find", title: `Found: ${text}`, rows, how: { text } });
  });
}

const run = async (work) => { try { await work(); } catch (error) { toast(error.message, { bad: true }); } };

/** Settles differences: what is said from here on is the consensus, until the name at the top right is clicked. */
async function settle(rows, corner) {
  if (!app.by) [app.by, app.expert] = [app.expert, CONSENSUS];
  await start();
  app.setFocus({ kind: "settle", title: "To settle", rows, corner, text: "what you say now is the consensus" });
}

function exportLabels() {
  const people = (app.experts || []).map((name) => [name, name]);
  const choices = [["", "everybody, and the consensus"], ...people, ...(people.length > 1 ? [[CONSENSUS, "the consensus"]] : [])];
  $("export-who").replaceChildren(...choices.map(([value, text]) => {
    const option = element("option", "", text); option.value = value; return option;
  }));
  const dialog = $("export-as");
  dialog.returnValue = "";
  dialog.onclose = () => { if (dialog.returnValue) run(() => saveLabels(dialog.returnValue, $("export-who").value)); };
  dialog.showModal();
}

async function saveLabels(kind, expert) {
  const link = element("a");
  link.href = URL.createObjectURL(await getBlob(`labels${kind}`, { expert }));
  link.download = `${app.session.archive}-labels${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function setFactor(wanted) {
  factor = wanted;
  for (const b of $("factors").children) b.setAttribute("aria-pressed", String(Number(b.dataset.factor) === factor));
  emit("here");
}

function tool(name) {
  map.tool = name;
  $("tool-lasso").setAttribute("aria-pressed", String(name === "lasso"));
  $("tool-pan").setAttribute("aria-pressed", String(name === "pan"));
  $("map").style.cursor = name === "pan" ? "grab" : "crosshair";
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  try { localStorage.setItem("wootz-theme", name); } catch { /* not remembered then */ }
  if (app.session) { drawState(); grid.refresh(); }
}

function connectKeys() {
  document.addEventListener("keydown", (e) => {
    const writing = e.target.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select");
    if (e.key === "Escape" && writing) e.target.blur();
    if (document.querySelector("dialog[open]") || writing || e.altKey) return;
    const key = e.key.toLowerCase();
    let work;
    if (e.ctrlKey || e.metaKey) work = { z: () => act(e.shiftKey ? "redo" : "undo"), y: () => act("redo"), a: pickAll }[key];
    else if (/^[1-9]$/.test(key)) { const found = usedClasses()[Number(key) - 1]; work = found && (() => nameChosen(found.name)); }
    else work = { j: () => step(1), k: () => step(-1), n: () => $("name").focus(), "/": () => $("find").focus(), a: pickAll,
      escape: () => { app.picked.clear(); emit("picked"); }, x: () => judge("artefact"), b: () => judge("between"),
      delete: () => judge("clear"), s: () => trySplit(2), v: similarToChosen, g: mergeTicked, c: compare, l: () => tool("lasso"),
      p: () => tool("pan"), f: () => $("filter").click(), 0: () => map.fit(), r: () => propose(app.lastClass || usedClasses()[0]?.key), "?": () => $("help").showModal(),
      ...(app.session.read_only ? {} : { d: toggleParts, m: openNotes, e: () => isReview(app.focus.kind) && $("offer").querySelector("button.main")?.click() }),
      u: () => { $("only-open").checked = !$("only-open").checked; drawFocus(); },
      t: () => { if (app.focus.kind === "cluster") { tick(app.focus.key, !app.ticked.has(app.focus.key)); drawState(); } } }[key];
    if (work) { e.preventDefault(); run(work); }
  });
}

function pickAll() {
  for (const row of app.shown) app.picked.add(row);
  emit("picked");
}

function connectMap() {
  map.onLasso = (rows, drawn) => app.setFocus({ kind: "lasso", title: "Inside the lasso", rows, how: { lasso: drawn } });
  map.onClick = (row) => {
    if (row < 0) return;
    app.here = row;
    if (app.parts) closeParts();
    if (app.group[row] >= 0) focusGroup(app.groups[app.group[row]]).then(() => {
      const at = app.shown.indexOf(row);
      if (at >= 0) grid.go(at);
      else { app.here = row; emit("here"); } // judged, and only those to do are shown
    });
    emit("here");
  };
  map.onPoint = (row, event) => {
    const tip = $("tip");
    tip.hidden = row < 0;
    if (row < 0) return;
    const box = $("map-box").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    tip.style.left = `${x > box.width - 130 ? x - 118 : x + 14}px`;
    tip.style.top = `${y > box.height - 140 ? y - 134 : y + 14}px`;
    drawTile(tip.querySelector("canvas"), row);
    tip.querySelector("span").textContent = app.group[row] >= 0 ? clusterName(app.groups[app.group[row]]) : `tile ${row}`;
  };
}

async function watch() {
  for (;;) {
    try {
      const { seq } = await getJson("changes", { after: app.seq });
      if (seq > app.seq) await refresh();
    } catch {
      await new Promise((wait) => setTimeout(wait, 2000));
    }
  }
}

async function start() {
  $("expert").textContent = app.by ? `Consensus (${app.by})` : app.expert;
  $("expert").title = app.by ? "Click to go back to your own labels" : "Labels are kept under this name; click to change";
  $("expert").classList.toggle("main", Boolean(app.by));
  app.parts = null; // of another person's cluster
  await refresh();
  app.again = null;
  await loadHead();
  lookAgain({ isNew: true });
  await focusFirst(); // a key pressed before it would act on nothing
}

async function open() {
  let theme = "";
  try { theme = localStorage.getItem("wootz-theme") || ""; } catch { /* none kept */ }
  setTheme(theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  app.session = await getJson("session");
  if (app.session.read_only) { document.body.dataset.readOnly = "true"; setFactor(0); }
  document.title = `${app.session.archive} · wootz explorer`;
  $("archive").textContent = app.session.archive;
  const hints = [app.session.torn, ...app.session.hints].filter(Boolean);
  $("hints").hidden = !hints.length;
  $("hints").textContent = hints.join("\n");
  $("colour").replaceChildren(...colourChoices().map(([value, text]) => {
    const option = element("option", "", text); option.value = value; return option;
  }));
  const { arrays } = await getArrays("points");
  performance.mark("wootz-data");
  Object.assign(app, arrays, { colours: new Uint32Array(arrays.x.length) });
  map.colours = app.colours;
  map.setPoints(app.x, app.y);
  let remembered = "";
  try { remembered = localStorage.getItem("wootz-expert") || ""; } catch { /* none kept */ }
  const known = app.session.read_only ? app.session.expert : app.session.expert || remembered;
  app.expert = known || app.session.read_only ? known : await askExpert({ cancel: false });
  await start();
  await connectFilters((error) => toast(error.message, { bad: true }));
  map.draw();
  performance.mark("wootz-ready");
  document.body.dataset.ready = "true";
  watch();
}

on("state", () => run(stateChanged));
/** What the filters leave out is not picked. */
function pickKept() {
  for (const row of [...app.picked]) if (app.kept && !app.kept[row]) app.picked.delete(row);
  map.kept = app.kept;
}
on("filters", () => { pickKept(); drawState(); drawFocus(); });
on("parts", () => run(partsChanged));
on("picked", () => { grid.refresh(); second.refresh(); drawChosen(); drawMarks(); if (isReview(app.focus.kind)) drawOffer(); });
on("here", () => { showPreview($("preview-canvas"), $("facts"), factor); drawMarks(); });
on("merged split-done card-done", () => focusFirst());
connectParts();
connectNotes();
new ResizeObserver(() => drawPreview($("preview-canvas"))).observe($("preview"));
connectButtons();
connectKeys();
connectMap();
connectTraining(() => focusFirst());
tool("lasso");
export { map }; // for benchmarks
open().catch((error) => toast(error.message, { bad: true }));
