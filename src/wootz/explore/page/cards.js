// A card for each cluster, as the expert edited them: what is typical, where it ends, what does not belong.

import { groupColour, verdictColour } from "./colours.js";
import { app, clusterName, keptByGroup, verdictName } from "./store.js";
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

export function drawCards(box, order, { onFocus, onTick }) {
  const done = verdictsByGroup(), kept = keptByGroup(), top = box.scrollTop;
  box.replaceChildren(...orderedCards(order).map((card) => {
    const at = app.groups.indexOf(card.key);
    return makeCard(card, done[at] || [], { n: kept ? kept[at] : card.n, onFocus, onTick });
  }));
  box.scrollTop = top;
}

function makeCard(card, done, { n: kept, onFocus, onTick }) {
  const box = element("div", kept ? "card" : "card left-out");
  box.setAttribute("role", "listitem");
  box.tabIndex = 0;
  box.dataset.key = card.key;
  if (app.focus.kind === "cluster" && app.focus.key === card.key) box.setAttribute("aria-current", "true");
  box.append(head(card, done, { kept, onTick }));
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
  box.title = spreadWords(card);
  box.addEventListener("click", (e) => { if (e.target.type !== "checkbox") onFocus(card.key); });
  box.addEventListener("keydown", (e) => { if (e.key === "Enter" && e.target === box) onFocus(card.key); });
  return box;
}

function head(card, done, { kept, onTick }) {
  const line = element("div", "card-head"), tick = element("input"), swatch = element("i", "swatch");
  tick.type = "checkbox";
  tick.checked = app.ticked.has(card.key);
  tick.setAttribute("aria-label", `Tick ${clusterName(card.key)}`);
  tick.addEventListener("change", () => onTick(card.key, tick.checked));
  swatch.style.background = groupColour(app.groups.indexOf(card.key));
  const said = done.length && done[0].n > card.n / 2 ? verdictName(done[0].code) : "", own = clusterName(card.key);
  const name = said ? `${said} (${own.replace("Cluster ", "")})` : own;
  const facts = [kept < card.n ? `${kept} of ${card.n} tiles` : `${card.n} tiles`];
  if (card.stability !== null && card.stability !== undefined) facts.push(`stab. ${card.stability.toFixed(2)}`);
  line.append(tick, swatch, element("strong", "", name), element("span", "soft", facts.join(" · ")));
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

function spreadWords(card) {
  return [`${clusterName(card.key)}: ${card.n} tiles of ${card.n_images} images`].concat(Object.entries(card.spread)
    .map(([name, values]) => `${name}: ${values.map(([value, n]) => `${value} (${n})`).join(", ")}`)).join("\n");
}

export function element(kind, className = "", text = "") {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text) made.textContent = text; // never innerHTML: names come from files and people
  return made;
}
