// Reviewing what a head says: cards of its lists, an audit by cards, and actions of one's own to look at again.

import { act, toast } from "./actions.js";
import { getJson, postJson } from "./api.js";
import { element } from "./cards.js";
import { app, CLASS, className, emit } from "./store.js";

const SEEN_MAX = 5000;
let least = () => 0, before = new Map(), left = null, turning = false;

export const wordName = (word) => (word.startsWith(CLASS) ? className(word.slice(CLASS.length)) : word === "between" ? "in between" : word);
const tiles = (n) => `${n} tile${n === 1 ? "" : "s"}`;
const verdictWord = (row) => app.verdicts[app.verdict[row]];
/** An action that passes a verdict, such as "class:pore". */
const saying = (word, op) => (word.startsWith(CLASS) ? { op, fields: { class: word.slice(CLASS.length) } } : { op: word, fields: {} });

export function connectReview(leastWanted) { least = leastWanted; }

/** Puts tiles of a list on a card: "random" or "surest" ones of a verdict's list, or those "unlike" all named ones. */
export async function openCard(kind, word = "", seen = []) {
  try {
    const found = await postJson("card", { expert: app.expert, kind, word, rows: seen.slice(-SEEN_MAX), least: least() });
    left = null;
    const corner = found.scores && new Map(found.rows.map((row, i) => [row, found.scores[i].toFixed(2)]));
    showCard({ kind, word: found.word, rows: found.rows, seen, how: { head: found.head, card: kind }, corner });
  } catch (error) {
    toast(error.message, { bad: app.focus.kind !== "card" });
    if (app.focus.kind === "card") emit("card-done");
  }
}

function showCard(card) {
  const name = card.word && wordName(card.word), { audit } = card;
  const title = name ? `${audit ? "Audit card" : "Card"} of ${name}` : "Unlike all named";
  before = new Map(card.rows.map((row) => [row, app.verdict[row]]));
  app.setFocus({ kind: "card", key: card.word, title, rows: card.rows, corner: card.corner, how: card.how, card,
    text: audit ? `${audit.n_judged} of ${audit.n_drawn} judged` : card.kind === "surest" ? "surest first" : "" });
}

/** Shows the first card of the audit that is not judged. */
export function openAuditCard() {
  const { audit } = app, [first] = audit.cards;
  if (!first) return;
  left = null;
  showCard({ word: first.word, rows: first.rows, open: first.open, audit, seen: [],
    how: { audit: audit.audit, head: audit.head, card: "audit" } });
}

/** Tiles of the card that "accept the rest" is about, without those picked out: in an audit also what had this verdict before it was asked. */
function restOf(card) {
  const asked = new Set(card.open || card.rows);
  return app.shown.filter((row) => asked.has(row) && !app.picked.has(row) && (!app.verdict[row] ||
    (card.audit && verdictWord(row) === card.word && app.verdict[row] === before.get(row))));
}

async function acceptRest() {
  const { card } = app.focus, rows = restOf(card), { op, fields } = saying(card.word, "accept");
  if (card.audit) await confirmTagged(card);
  if (!rows.length && app.picked.size) { toast("Name the tiles that you picked out."); return; }
  if (!rows.length) { if (card.rows.some((row) => !app.shown.includes(row))) toast("Filters, or “to do only”, hide the tiles of this card that are left."); return; }
  await act(op, { ...fields, rows }, `${wordName(card.word)}: ${tiles(rows.length)} accepted`);
}

/** An audited tile that was named otherwise elsewhere, and keeps that name on the card, is answered by it. */
async function confirmTagged(card) {
  const open = new Set(card.open), rows = app.shown.filter((row) => open.has(row) && !app.picked.has(row) && app.verdict[row] &&
    app.verdict[row] === before.get(row) && verdictWord(row) !== card.word);
  for (const word of new Set(rows.map(verdictWord))) {
    const { op, fields } = saying(word, "name");
    await act(op, { ...fields, rows: rows.filter((row) => verdictWord(row) === word) });
  }
}

async function nextCard() {
  const { card } = app.focus;
  await openCard(card.kind, card.word, [...card.seen, ...card.rows.filter((row) => !app.verdict[row])]);
}

/** After an action: a card without open tiles gives place to the next; one that was left comes back when its action is undone. */
export async function followCard() {
  const { focus } = app;
  if (turning || focus.kind !== "card") return;
  if (left && left.expert === app.expert && left.card.rows.some((row) => !app.verdict[row])) {
    const { card } = left;
    left = null;
    showCard(card);
    return;
  }
  const { card } = focus, now = card.audit && app.audit.cards?.find((c) => c.rows[0] === card.rows[0] && c.word === card.word);
  if (now) { card.open = now.open; card.audit = app.audit; }
  const done = card.audit ? !now : card.rows.every((row) => app.verdict[row]);
  if (!done) return;
  turning = true;
  try {
    if (!card.audit) await nextCard();
    else if (app.audit.cards?.length) openAuditCard();
    else { toast(app.audit.text || "The audit is over."); emit("card-done"); }
    left = { card, expert: app.expert };
  } finally { turning = false; }
}

/** Asks which actions a head that did not learn from them contradicts; the server fits one for it, beside the page. */
export async function loadAgain() {
  const expert = app.expert;
  try {
    const found = await getJson("again", { expert });
    if (app.expert === expert) app.again = found.actions || [];
  } catch (error) { app.again = []; toast(error.message, { bad: true }); }
}

export function openAgain(at = 0) {
  const action = app.again?.[at];
  if (!action) { toast("Nothing is left to look at again."); emit("card-done"); return; }
  before = new Map(action.rows.map((row) => [row, app.verdict[row]]));
  const corner = new Map(action.rows.map((row, i) => [row, action.said[i] && action.said[i] !== action.word && `${wordName(action.said[i])}?`]).filter(([, text]) => text));
  app.setFocus({ kind: "again", key: action.id, title: `Look again: ${wordName(action.word)}, or ${wordName(action.other)}?`, rows: action.rows, corner,
    how: { again: action.id }, again: { ...action, at } });
}

async function keep() {
  const { again } = app.focus, rows = again.rows.filter((row) => app.verdict[row] === before.get(row));
  const { op, fields } = saying(again.word, "name");
  app.picked.clear();
  const how = { view: "again", again: again.id, kept: again.id };
  if (rows.length && await act(op, { ...fields, rows, how })) await followAgain(true);
}

/** Goes to the next contradicted action once this one is kept or all renamed; a part renamed may be half of the work. */
export async function followAgain(isKept = false) {
  const { again, kind } = app.focus;
  if (turning || kind !== "again" || (!isKept && again.rows.some((row) => app.verdict[row] === before.get(row)))) return;
  turning = true;
  try {
    await loadAgain();
    const at = app.again.findIndex((action) => action.id !== again.id);
    openAgain(at < 0 ? app.again.length : at);
  } finally { turning = false; }
}

/** What the bar above the tiles offers on a card or an action to look at again; its main button has the key E. */
export function reviewOffer() {
  const { card, again, kind } = app.focus, hint = (text) => element("span", "soft", text);
  const button = (text, work, main = false) => {
    const made = element("button", main ? "main" : "", text);
    if (main) made.title = `${text} (E)`;
    made.addEventListener("click", async () => { made.disabled = true; await work(); made.disabled = false; });
    return made;
  };
  const done = button(card?.audit ? "Later" : "Done", () => emit("card-done"));
  if (kind === "again") {
    const last = app.again.length < 2;
    return [button(`Keep as ${wordName(again.word)}`, keep, true), ...(last ? [] : [button("Next", () => openAgain((again.at + 1) % app.again.length))]), done,
      hint(`Named ${wordName(again.word)} by one action; the head of all others says ${wordName(again.other)} of ${Math.round(100 * again.share)} % of them. ` +
        "A slip? Name them anew: what is picked, or all. What you keep does not come again.")];
  }
  const next = button("Next card", nextCard);
  if (!card.word) return [next, done, hint("A new class may hide here: pick what is alike and name it. With nothing picked, a name is for the rest.")];
  const name = wordName(card.word), main = button(`Accept the rest as ${name} (${restOf(card).length})`, acceptRest, true);
  return [main, ...(card.audit ? [] : [next]), done, hint(`Pick out what is not ${name} and name it, then accept the rest.${card.audit ? " Each answer counts." : ""}`)];
}

export const isReview = (kind) => kind === "card" || kind === "again";
