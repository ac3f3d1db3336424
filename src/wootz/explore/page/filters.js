// Filters by what is known of the tiles: what they leave out is neither drawn nor shown, and no action touches it.

import { element } from "./cards.js";
import { loadColumn } from "./legend.js";
import { app, clusterName, emit, verdictName } from "./store.js";

const $ = (id) => document.getElementById(id);
const CHIP_VALUES = 3;

const EDITED = { cluster: "cluster, as edited", verdict: "verdict" };

/** What can be filtered by: the columns, and what one's own actions came to. */
const choices = () => [...(app.groups.length ? [["cluster", EDITED.cluster]] : []), ["verdict", EDITED.verdict],
  ...app.session.columns.map((name) => [`column:${name}`, name])];

/** Values of a choice: those of a column, or of the state as it is now; a code below 0 is the last value, none. */
async function valuesOf(choice) {
  if (choice === "cluster") {
    return { kind: "category", values: [...app.groups, ""], array: app.group, wordOf: (key) => (key === "" ? "no cluster" : clusterName(key)) };
  }
  if (choice === "verdict") {
    const { verdicts } = app, names = new Map(verdicts.map((word, code) => [word, verdictName(code)]));
    return { kind: "category", values: verdicts, array: app.verdict, wordOf: (word) => names.get(word) || "no verdict yet" };
  }
  return { ...await loadColumn(choice.slice("column:".length)), wordOf: (word) => word || "unknown" };
}

/** One filter: {column: choice, values: [words]} or {column, low, high}; null leaves an end open. All must hold. */
async function passes(filter, kept) {
  const { kind, values, array } = await valuesOf(filter.column);
  if (kind === "category") {
    const wanted = Uint8Array.from(values, (word) => (filter.values.includes(word) ? 1 : 0)), none = values.length - 1;
    for (let i = 0; i < kept.length; i++) kept[i] &= wanted[array[i] < 0 ? none : array[i]];
  } else {
    const low = filter.low ?? -Infinity, high = filter.high ?? Infinity; // unknown values, NaN, lie in no range
    for (let i = 0; i < kept.length; i++) if (!(array[i] >= low && array[i] <= high)) kept[i] = 0;
  }
}

export async function apply(filters) {
  await keep(filters);
  try { sessionStorage.setItem(`wootz-filters:${app.session.archive}`, JSON.stringify(filters)); } catch { /* not kept */ }
  drawChips();
  emit("filters");
}

async function keep(filters) {
  const kept = filters.length ? new Uint8Array(app.x.length).fill(1) : null;
  for (const filter of filters) await passes(filter, kept);
  app.filters = filters;
  app.kept = kept;
}

const there = (filter) => filter.column !== "cluster" || filter.values.some((key) => key === "" || app.groups.includes(key));

/** After an action: filters by cluster or verdict hold for what these are now; a cluster that is gone leaves them. */
export async function refilter() {
  if (!app.filters.some((filter) => EDITED[filter.column])) return;
  await keep(app.filters.filter(there));
  drawChips();
}

async function words({ column, values, low, high }) {
  const name = EDITED[column] || column.slice("column:".length);
  if (!values) return `${name}: ${low === null ? "at most" : high === null ? "at least" : `${low} to`} ${high ?? low}`;
  const { wordOf } = await valuesOf(column), shown = values.slice(0, CHIP_VALUES).map(wordOf).join(", ");
  return `${name}: ${shown}${values.length > CHIP_VALUES ? ` and ${values.length - CHIP_VALUES} more` : ""}`;
}

async function drawChips() {
  const { filters } = app, texts = await Promise.all(filters.map(words));
  if (filters !== app.filters) return; // others hold by now
  $("filters").replaceChildren(...filters.map((filter, k) => {
    const chip = element("button", "chip");
    chip.append(element("span", "", texts[k]), element("b", "", "×"));
    chip.title = `${texts[k]}: take this filter away`;
    chip.addEventListener("click", () => apply(app.filters.filter((_, other) => other !== k)));
    return chip;
  }));
  const n = app.kept?.reduce((sum, one) => sum + one, 0);
  if (app.kept) $("filters").prepend(element("span", "soft", `${n} of ${app.kept.length} tiles:`));
  $("filters").hidden = !app.kept;
}

async function drawChoice() {
  const name = $("filter-column").value, { kind, values, array, low, high, wordOf } = await valuesOf(name);
  if (name !== $("filter-column").value) return; // another one was chosen meanwhile
  const isWords = kind === "category", before = app.filters.find((filter) => filter.column === name);
  $("filter-values").hidden = !isWords;
  $("filter-range").hidden = isWords;
  if (!isWords) {
    for (const [id, end, usual] of [["filter-low", before?.low, low], ["filter-high", before?.high, high]]) {
      $(id).value = end ?? "";
      $(id).placeholder = usual.toPrecision(4);
    }
    return;
  }
  const counts = new Int32Array(values.length);
  for (let i = 0; i < array.length; i++) counts[array[i] < 0 ? values.length - 1 : array[i]]++;
  $("filter-values").replaceChildren(...values.flatMap((word, code) => {
    const option = element("option", "", `${wordOf(word)} (${counts[code]})`);
    option.value = word;
    option.selected = Boolean(before?.values.includes(word));
    return counts[code] || option.selected ? [option] : [];
  }));
}

/** What the dialog asks for; null where it asks for nothing. */
function chosen() {
  const column = $("filter-column").value;
  if ($("filter-range").hidden) {
    const values = [...$("filter-values").selectedOptions].map((option) => option.value);
    return values.length ? { column, values } : null;
  }
  const [low, high] = ["filter-low", "filter-high"].map((id) => ($(id).value === "" ? null : Number($(id).value)));
  return low === null && high === null ? null : { column, low, high };
}

export async function connectFilters(onError) {
  $("filter-column").addEventListener("change", () => drawChoice().catch(onError));
  $("filter").addEventListener("click", () => {
    const dialog = $("filter-by"), last = $("filter-column").value;
    $("filter-column").replaceChildren(...choices().map(([value, text]) => {
      const option = element("option", "", text);
      option.value = value;
      option.selected = value === last;
      return option;
    }));
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue !== "ok") return;
      const found = chosen(), others = app.filters.filter((filter) => filter.column !== $("filter-column").value);
      apply(found ? [...others, found] : others).catch(onError);
    };
    drawChoice().then(() => dialog.showModal()).catch(onError);
  });
  let before = [];
  try { before = JSON.parse(sessionStorage.getItem(`wootz-filters:${app.session.archive}`) || "[]"); } catch { /* none */ }
  const known = choices().map(([value]) => value);
  await apply(before.filter((filter) => known.includes(filter.column)).filter(there));
}
