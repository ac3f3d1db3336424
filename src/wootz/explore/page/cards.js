// A card for each cluster, as the expert edited them: what is typical, where it ends, what does not belong.

import { groupColour, verdictColour } from "./colours.js";
import { app, clusterName, keptByGroup, notesOfGroup, verdictName } from "./store.js";
import { drawTile } from "./thumbs.js";

/** Shares of the verdicts in each group: [{code, n}], most first. */
export function verdictsByGroup() {
  const n = app.verdicts.length, counts = new Int32Array(app.groups.length * n);
  for (let i = 0; i < app.group.length; i++) if (app.group[i] >= 0) counts[app.group[i] * n + app.verdict[i]]++;
  return app.groups.map((_, g) => {
    const found = [];
    for (let code = 1; code < n; code++) if (counts[g * n + code]) found.push({ code, n: counts[g * n + code] });
    return found.sort((a, b) => b.n - a.n);
  });
}

export function orderedCards(order) {
  const done = verdictsByGroup(), cards = app.cards.slice();
  const open = (card) => card.n - (done[app.groups.indexOf(card.key)] || []).reduce((sum, v) => sum + v.n, 0);
  if (order === "size") cards.sort((a, b) => b.n - a.n);
  if (order === "open") cards.sort((a, b) => open(b) - open(a));
  return cards;
}

export function drawCards(box, order, { onFocus, onTick, onParts }) {
  const done = verdictsByGroup(), kept = keptByGroup();
  fillCards(box, orderedCards(order).map((card) => {
    const at = app.groups.indexOf(card.key), own = clusterName(card.key);
    return makeCard(card, { name: own, short: own.replace("Cluster ", ""), colour: groupColour(at), done: done[at] || [],
      notes: notesOfGroup(card.key), kept: kept ? kept[at] : card.n, ticked: app.ticked.has(card.key), onFocus, onTick, onParts,
      current: app.focus.kind === "cluster" && app.focus.key === card.key });
  }));
}

/** Puts cards in the place of those that are there; what is in view and has the keyboard stays so. */
export function fillCards(box, cards) {
  const top = box.scrollTop, key = document.activeElement?.closest?.(".card")?.dataset.key;
  box.replaceChildren(...cards);
  box.scrollTop = top;
  if (key !== undefined) box.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** One card; `of` says how it is called, its colour, its verdicts, how many tiles pass the filters, and what a click does. */
export function makeCard(card, of) {
  const { done, kept, onFocus, onParts } = of, box = element("div", kept ? "card" : "card left-out");
  box.setAttribute("role", "listitem");
  box.tabIndex = 0;
  box.dataset.key = card.key;
  if (of.current) box.setAttribute("aria-current", "true");
  box.append(head(card, of));
  if (card.badges.length) {
    const badges = element("div", "badges");
    badges.append(...card.badges.map((text) => element("span", "", text)));
    box.append(badges);
  }
  const { medoid = [], borderline = [], outlier = [] } = card.tiles;
  box.append(strip(medoid.slice(0, 5), "strip", () => "typical"));
  const others = [...borderline.slice(0, 5), ...outlier.slice(0, 3)];
  if (others.length) {
    box.append(strip(others, "strip small", (i) => (i < Math.min(borderline.length, 5) ? "borderline" : "outlier")));
  }
  const bar = element("div", "done");
  for (const { code, n } of done) {
    const part = element("i");
    part.style.width = `${(100 * n) / card.n}%`;
    part.style.background = verdictColour(code);
    part.title = `${verdictName(code)}: ${n}`;
    bar.append(part);
  }
  box.append(bar);
  for (const text of of.notes || []) box.append(noteLine(text));
  box.title = spreadWords(card, of.name);
  if (onParts) {
    const more = element("button", "small acts open-parts", "Parts");
    more.title = `The small groups of ${of.name} (D)`;
    more.addEventListener("click", (e) => { e.stopPropagation(); onParts(card.key); });
    box.append(more);
  }
  box.addEventListener("click", (e) => { if (e.target.type !== "checkbox") onFocus(card.key); });
  box.addEventListener("keydown", (e) => { if (e.key === "Enter" && e.target === box) onFocus(card.key); });
  return box;
}

function head(card, { name: own, short, colour, done, kept, ticked, onTick }) {
  const line = element("div", "card-head"), tick = element("input"), swatch = element("i", "swatch");
  tick.type = "checkbox";
  tick.checked = ticked;
  tick.setAttribute("aria-label", `Tick ${own}`);
  tick.addEventListener("change", () => onTick(card.key, tick.checked));
  swatch.style.background = colour;
  const said = done.length && done[0].n > card.n / 2 ? verdictName(done[0].code) : "";
  const facts = [kept < card.n ? `${kept} of ${card.n} tiles` : `${card.n} tiles`];
  if (card.stability !== null && card.stability !== undefined) facts.push(`stab. ${card.stability.toFixed(2)}`);
  line.append(tick, swatch, element("strong", "", said ? `${said} (${short})` : own), element("span", "soft", facts.join(" · ")));
  return line;
}

function strip(rows, className, role) {
  const box = element("div", className);
  rows.forEach((row, i) => {
    const canvas = element("canvas", `mark-${role(i)}`);
    canvas.title = role(i);
    box.append(canvas);
    drawTile(canvas, row);
  });
  return box;
}

function noteLine(text) {
  const line = element("p", "note", text);
  line.title = text;
  return line;
}

function spreadWords(card, name) {
  return [`${name}: ${card.n} tiles of ${card.n_images} images`].concat(Object.entries(card.spread)
    .map(([name, values]) => `${name}: ${values.map(([value, n]) => `${value} (${n})`).join(", ")}`)).join("\n");
}

export function element(kind, className = "", text = "") {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text) made.textContent = text; // never innerHTML: names come from files and people
  return made;
}
