// Training on what is named so far, and audits: a random sample, judged one by one without the head's opinion.

import { getJson, postJson } from "./api.js";
import { toast } from "./actions.js";
import { element } from "./cards.js";
import { connectOffer, loadOffer, offerBox } from "./offer.js";
import { connectReview, followAgain, followCard, loadAgain, openAgain, openAuditCard, openCard, wordName } from "./review.js";
import { app, CLASS, emit, on } from "./store.js";

const $ = (id) => document.getElementById(id);
const N_AUDIT = 60;
let nCards = 6;
let least = 0, toFirst = () => {};

const percent = (share) => (share === null || share === undefined ? "?" : `${(100 * share).toFixed(0)} %`);

export function connectTraining(focusFirst) {
  toFirst = focusFirst;
  $("train").addEventListener("click", train);
  $("audit").addEventListener("click", audit);
  on("ranked", () => rank(CLASS + app.lastClass));
  connectReview(() => least);
  connectOffer();
  on("state", followAudit);
}

/** Takes what this session's head and the latest audit are, after a reload or a change of person. */
export async function loadHead() {
  if (app.session.read_only) return; // a copy of the page trains nothing
  [app.head, app.audit] = await Promise.all(["head", "audit"].map((name) => getJson(name, { expert: app.expert })));
  drawHead($("head"));
  loadOffer().then(() => drawHead($("head"))); // of a million tiles it takes half a second, and no card waits for it
}

/** Looks again at one's own actions, while the page goes on: the first time after a training this takes as long as that. */
export async function lookAgain({ isNew = false } = {}) {
  if (app.session.read_only || !app.head.head) { app.again = null; return; }
  if (isNew) { app.again = null; drawHead($("head")); }
  await loadAgain();
  drawHead($("head"));
}

async function train() {
  const button = $("train");
  button.disabled = true;
  button.textContent = "Training …";
  try {
    app.head = await postJson("train", { expert: app.expert });
    app.again = null;
    await loadHead(); // an audit is of an earlier head now
    lookAgain({ isNew: true });
    toast(`Learned from ${app.head.n_named} tiles in ${app.head.seconds} s; the rest is ranked.`);
  } catch (error) {
    toast(error.message, { bad: true });
  } finally {
    button.disabled = false;
    button.textContent = "Train";
  }
}

async function rank(word) {
  try {
    const found = await postJson("ranked", { expert: app.expert, word, n: 5000, least });
    const corner = new Map(found.rows.map((row, i) => [row, found.scores[i].toFixed(2)]));
    const isClass = word.startsWith(CLASS), key = isClass ? word.slice(CLASS.length) : "";
    app.setFocus({ kind: isClass ? "proposal" : "ranked", key, title: `Proposals for ${wordName(word)}`, rows: found.rows, corner,
      text: "surest first, by the head", how: { head: app.head.head, least } });
  } catch (error) { toast(error.message, { bad: true }); }
}

/** Goes on with the audit that is open, or draws one of what the head would name. */
async function audit() {
  try {
    if (!app.audit.rows?.length || !app.audit.is_current) {
      app.audit = await postJson("draw", { expert: app.expert, n: N_AUDIT, least });
    }
    if (app.audit.cards.length) openAuditCard(); else showAudit();
  } catch (error) { toast(error.message, { bad: true }); }
}

/** Goes on with the audit by cards that is open, or draws one: cards of each class's list. */
async function auditByCards() {
  try {
    if (!app.audit.cards?.length || !app.audit.is_current) {
      app.audit = await postJson("draw_cards", { expert: app.expert, n: nCards, least });
      drawHead($("head"));
    }
    openAuditCard();
  } catch (error) { toast(error.message, { bad: true }); }
}

let before = new Map(); // verdicts when the audit was shown

function showAudit() {
  before = new Map(app.audit.rows.map((row) => [row, app.verdict[row]]));
  app.setFocus({ kind: "audit", title: "Audit", rows: app.audit.rows, how: { audit: app.audit.audit },
    text: "judge each by itself: N, 1 … 9, X or B" });
}

/** After an action: the judged tile goes at once, so that the next key is about the next tile; figures follow. */
async function followAudit() {
  const judging = app.focus.kind === "audit";
  if (judging) {
    const left = app.audit.rows.filter((row) => app.verdict[row] === before.get(row));
    if (left.length < app.audit.rows.length && left.length) { app.audit.rows = left; showAudit(); }
  }
  if (!judging && !app.head.head) return;
  if (!app.focus.card?.audit) await followCard();
  if (app.again) { await followAgain(); lookAgain(); }
  try {
    await loadHead();
  } catch (error) { toast(error.message, { bad: true }); return; }
  if (app.focus.card?.audit) await followCard();
  if (app.focus.kind !== "audit") return;
  if (!app.audit.rows.length) { toast(app.audit.text); toFirst(); } else if (app.audit.rows.join() !== app.focus.rows.join()) showAudit();
}

/** Says what the head knows, and how good its labels are. */
export function drawHead(box) {
  const { head, audit: found } = app, lines = [], held = document.activeElement?.id;
  $("audit").disabled = !head.head && !found.rows?.length;
  if (head.head) {
    lines.push(element("p", "soft", `Head: ${head.n_named} named tiles, ${percent(head.balanced_accuracy)} right on unseen images ` +
      "(mean of the classes)"));
    if (app.again?.length || !app.again) lines.push(againLine());
    for (const c of head.classes) lines.push(line(c));
    lines.push(tools());
  }
  if (found.audit) {
    const of = found.is_current ? "" : " (of an earlier head)", judged = `${found.n_judged} of ${found.n_drawn} judged`;
    const about = element("p", "audit", `Audit${of}, ${judged}: ${found.text}`);
    about.title = found.classes.filter((c) => c.n)
      .map((c) => `${c.name}: ${c.right} of ${c.n} right, ${percent(c.low)} to ${percent(c.high)} of ${c.size}`).join("\n");
    lines.push(about);
  }
  const offered = offerBox();
  box.replaceChildren(...lines, ...(offered ? [offered] : []));
  if (held) document.getElementById(held)?.focus({ preventScroll: true }); // a number that is being typed
}

function small(text, title, work) {
  const made = element("button", "small", text);
  made.title = title;
  made.addEventListener("click", work);
  return made;
}

function againLine() {
  if (!app.again) return element("p", "soft", "Looking again at what you named …");
  const n = app.again.length, made = small(`${n} action${n === 1 ? "" : "s"} to look at again`, "A head that did not learn from them says otherwise", () => openAgain());
  made.id = "again";
  return made;
}

/** What is asked of all lists: tiles unlike all named ones, a lowest confidence, an audit by cards. */
function tools() {
  const box = element("div", "tools"), input = element("input"), open = app.audit.is_current && app.audit.cards?.length;
  Object.assign(input, { type: "number", min: 1, max: 100, step: 1, value: nCards, id: "n-cards" });
  input.title = "Cards of each class, 24 tiles each";
  input.setAttribute("aria-label", input.title);
  input.addEventListener("change", () => { nCards = Math.min(Math.max(Math.round(Number(input.value)) || 1, 1), 100); input.value = nCards; });
  const cards = small(open ? `Go on: ${app.audit.cards.length} audit cards left` : "Audit by cards", "Judge random cards of each class's list", auditByCards);
  cards.id = "audit-cards";
  box.append(small("Unlike all named", "A card of tiles that look least like any that you named: a new class may hide there", () => openCard("unlike")),
    sureness(), cards, ...(open ? [] : [input, element("span", "soft", "a class")]));
  return box;
}

function line(c) {
  const box = element("div", "class"), more = element("button", "small", "review"), rest = element("span", "soft", String(c.n_rest));
  rest.title = `${c.n_rest} tiles without a verdict are on its list`;
  box.append(element("kbd", "", " "), element("span", "label", wordName(c.word)), rest, more,
    small("card", "24 random tiles of its list on a card: name what is wrong, accept the rest (Shift: the surest)",
      (e) => openCard(e.shiftKey ? "surest" : "random", c.word)),
    small("surest", "A card of the 24 surest, also where another class is likelier: for classes that are rare", () => openCard("surest", c.word)));
  more.title = "The whole list, surest first";
  box.title = c.recall === null ? "named on one image only: not judged" : `${percent(c.recall)} found on unseen images`;
  more.addEventListener("click", () => { if (c.word.startsWith(CLASS)) app.lastClass = c.word.slice(CLASS.length); rank(c.word); });
  return box;
}

function sureness() {
  const label = element("label", "soft", "confidence ≥ "), input = element("input");
  Object.assign(input, { type: "number", min: 0, max: 1, step: 0.05, value: least, id: "least" });
  input.addEventListener("change", () => { least = Math.min(Math.max(Number(input.value) || 0, 0), 1); emit("least"); });
  label.append(input);
  return label;
}
