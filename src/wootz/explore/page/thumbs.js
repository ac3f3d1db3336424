// Small pictures of tiles, fetched in batches as one sheet each, and kept.

import { postBlob } from "./api.js";

const SIDE = 128, BATCH = 48, KEPT = 6000, AT_ONCE = 3;
const kept = new Map();    // row -> {sheet, x, y}
const waiting = new Map(); // row -> set of canvases
let running = 0, planned = false;

/** Draws a tile into a canvas, now or as soon as it is there. */
export function drawTile(canvas, row) {
  canvas.dataset.row = row;
  if (canvas.width !== SIDE) { canvas.width = SIDE; canvas.height = SIDE; }
  const found = kept.get(row);
  if (found) { paint(canvas, found); return; }
  canvas.getContext("2d").clearRect(0, 0, SIDE, SIDE);
  if (!waiting.has(row)) waiting.set(row, new Set());
  waiting.get(row).add(canvas);
  if (!planned) { planned = true; setTimeout(fetchSome, 0); }
}

function paint(canvas, { sheet, x, y }) {
  canvas.getContext("2d").drawImage(sheet, x, y, SIDE, SIDE, 0, 0, SIDE, SIDE);
}

function fetchSome() {
  planned = false;
  while (running < AT_ONCE && waiting.size) {
    // newest first: what was scrolled past is no longer wanted
    const rows = [...waiting.keys()].reverse().filter(isWanted).slice(0, BATCH);
    if (!rows.length) { waiting.clear(); return; }
    const canvases = rows.map((row) => waiting.get(row));
    rows.forEach((row) => waiting.delete(row));
    running++;
    fetchSheet(rows, canvases).finally(() => { running--; if (waiting.size) fetchSome(); });
  }
}

function isWanted(row) {
  for (const canvas of waiting.get(row)) if (canvas.isConnected && Number(canvas.dataset.row) === row) return true;
  waiting.delete(row);
  return false;
}

async function fetchSheet(rows, canvases) {
  let sheet;
  try {
    sheet = await createImageBitmap(await postBlob("sprite", { rows, side: SIDE }));
  } catch {
    return; // the tiles stay black; the server's silence is told by the next action or poll
  }
  const nColumns = Math.min(8, rows.length);
  rows.forEach((row, i) => {
    const place = { sheet, x: (i % nColumns) * SIDE, y: Math.floor(i / nColumns) * SIDE };
    kept.set(row, place);
    for (const canvas of canvases[i]) if (Number(canvas.dataset.row) === row) paint(canvas, place);
  });
  for (const row of kept.keys()) { if (kept.size <= KEPT) break; kept.delete(row); }
}
