// Filters by what is known of the tiles: what they leave out is neither drawn nor shown, and no action touches it.

import { element } from "./cards.js";
import { loadColumn } from "./legend.js";
import { app, emit } from "./store.js";

const $ = (id) => document.getElementById(id);
const CHIP_VALUES = 3;

/** One filter: {column, values: [words]} or {column, low, high}; null leaves an end open. All must hold. */
async function passes(filter, kept) {
  const { kind, values, array } = await loadColumn(filter.column);
  if (kind === "category") {
    const wanted = Uint8Array.from(values, (word) => (filter.values.includes(word) ? 1 : 0));
    for (let i = 0; i < kept.length; i++) kept[i] &= wanted[array[i]];
  } else {
    const low = filter.low ?? -Infinity, high = filter.high ?? Infinity; // unknown values, NaN, lie in no range
    for (let i = 0; i < kept.length; i++) if (!(array[i] >= low && array[i] <= high)) kept[i] = 0;
  }
}

async function apply(filters) {
  const kept = filters.length ? new Uint8Array(app.x.length).fill(1) : null;
  for (const filter of filters) await passes(filter, kept);
  app.filters = filters;
  app.kept = kept;
  try { sessionStorage.setItem(`wootz-filters:${app.session.archive}`, JSON.stringify(filters)); } catch { /* not kept */ }
  drawChips();
  emit("filters");
}

function words({ column, values, low, high }) {
  if (!values) return `${column}: ${low ?? "…"} to ${high ?? "…"}`;
  const shown = values.slice(0, CHIP_VALUES).map((word) => word || "unknown").join(", ");
  return `${column}: ${shown}${values.length > CHIP_VALUES ? ` and ${values.length - CHIP_VALUES} more` : ""}`;
}

function drawChips() {
  $("filters").replaceChildren(...app.filters.map((filter, k) => {
    const chip = element("button", "chip", `${words(filter)} ×`);
    chip.title = "Take this filter away";
    chip.addEventListener("click", () => apply(app.filters.filter((_, other) => other !== k)));
    return chip;
  }));
  const n = app.kept?.reduce((sum, one) => sum + one, 0);
  if (app.kept) $("filters").append(element("span", "soft", `${n} of ${app.kept.length} tiles`));
  $("filters").hidden = !app.kept;
}

async function drawChoice() {
  const name = $("filter-column").value, { kind, values, array, low, high } = await loadColumn(name);
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
  for (let i = 0; i < array.length; i++) counts[array[i]]++;
  $("filter-values").replaceChildren(...values.map((word, code) => {
    const option = element("option", "", `${word || "unknown"} (${counts[code]})`);
    option.value = word;
    option.selected = Boolean(before?.values.includes(word));
    return option;
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
  $("filter").hidden = !app.session.columns.length;
  $("filter-column").replaceChildren(...app.session.columns.map((name) => element("option", "", name)));
  $("filter-column").addEventListener("change", () => drawChoice().catch(onError));
  $("filter").addEventListener("click", () => {
    const dialog = $("filter-by");
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
  await apply(before.filter((filter) => app.session.columns.includes(filter.column)));
}
