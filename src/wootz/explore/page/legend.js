// What the map's colours mean; a click on an entry shows its tiles.

import { getArrays } from "./api.js";
import { category, groupColour, ramp, rgb, unknown, verdictColour, word32 } from "./colours.js";
import { app, clusterName, countVerdicts, verdictName } from "./store.js";

const CATEGORIES_SHOWN = 40;

/** Entries of what the map can be coloured by: value and words. */
export function colourChoices() {
  const own = [["cluster", "cluster, as edited"], ["verdict", app.session.read_only ? "verdict" : "your verdict"]];
  return own.concat(app.session.columns.map((name) => [`column:${name}`, name]));
}

export async function loadColumn(name) {
  if (!app.columns.has(name)) {
    const { about, arrays } = await getArrays("column", { name });
    app.columns.set(name, { ...about, array: arrays.values });
  }
  return app.columns.get(name);
}

/** Gives {colours: Uint32Array, entries: [{name, colour, n, rows()}], ramp} for a choice. */
export async function colouring(choice) {
  if (choice === "cluster" && app.parts) return byPart(app.parts);
  if (choice === "cluster") return byCode(app.group, app.groups.map(clusterName), groupColour);
  if (choice === "verdict") {
    return byCode(app.verdict, app.verdicts.map((_, code) => verdictName(code) || "no verdict yet"), verdictColour);
  }
  const column = await loadColumn(choice.slice("column:".length));
  if (column.kind === "category") {
    const names = column.values.map((v) => v || "unknown");
    return byCode(column.array, names, (code) => (column.values[code] === "" ? unknown() : category(code)));
  }
  return byNumber(column);
}

/** While a cluster is looked at in parts, these have the colours, and other clusters none. */
function byPart({ rows, part, keys }) {
  const codes = new Int32Array(app.group.length).fill(-1);
  for (let i = 0; i < rows.length; i++) codes[rows[i]] = part[i];
  return byCode(codes, keys.map((_, k) => `Part ${k + 1}`), category, "other tiles");
}

function byCode(codes, names, colourOf, rest = "no cluster") {
  const palette = names.map((_, code) => colourOf(code)), words = palette.map((c) => word32(rgb(c)));
  const { kept } = app, none = word32(rgb(unknown())), colours = new Uint32Array(codes.length), counts = new Int32Array(names.length + 1);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    colours[i] = code < 0 ? none : words[code];
    counts[code < 0 ? names.length : code] += kept === null ? 1 : kept[i];
  }
  const entries = names.map((name, code) => ({ name, colour: palette[code], n: counts[code], code, codes }))
    .concat({ name: rest, colour: unknown(), n: counts[names.length], code: -1, codes }).filter((entry) => entry.n);
  return { colours, entries, ramp: null };
}

function byNumber(column) {
  const steps = 256, span = column.high - column.low || 1, none = word32(rgb(unknown()));
  const words = Uint32Array.from({ length: steps }, (_, k) => word32(rgb(ramp(k / (steps - 1)))));
  const colours = new Uint32Array(column.array.length);
  for (let i = 0; i < colours.length; i++) {
    const t = (column.array[i] - column.low) / span;
    colours[i] = t === t ? words[Math.min(steps - 1, Math.max(0, (t * (steps - 1)) | 0))] : none;
  }
  return { colours, entries: [], ramp: [column.low, column.high] };
}

export function drawLegend(box, found, onEntry) {
  box.replaceChildren();
  if (found.ramp) {
    const bar = document.createElement("canvas"), pen = bar.getContext("2d");
    bar.className = "ramp";
    bar.width = 140;
    bar.height = 1;
    for (let k = 0; k < 140; k++) { pen.fillStyle = ramp(k / 139); pen.fillRect(k, 0, 1, 1); }
    box.append(found.ramp[0].toPrecision(3), bar, found.ramp[1].toPrecision(3));
    return;
  }
  for (const entry of found.entries.slice(0, CATEGORIES_SHOWN)) {
    const button = document.createElement("button"), swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.background = entry.colour;
    button.append(swatch, `${entry.name} ${entry.n}`);
    button.title = "Show these tiles";
    button.addEventListener("click", () => onEntry(entry));
    box.append(button);
  }
  const more = found.entries.length - CATEGORIES_SHOWN;
  if (more > 0) box.append(`and ${more} more`);
}

/** Words on how much is done. */
export function progressWords() {
  const done = app.verdict.length - countVerdicts()[0];
  return { share: done / Math.max(app.verdict.length, 1), text: `${done} of ${app.verdict.length} tiles judged` };
}
