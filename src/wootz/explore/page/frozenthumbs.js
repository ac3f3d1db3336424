// Small pictures of tiles, cut out of the sheets that a copy holds; in place of thumbs.js.

import { frozen, jpegOf } from "./frozen.js";

const SIDE = 128, SHEET = 64, PER_ROW = 8;
const sheets = new Map(); // number -> promise of a bitmap

/** Draws a tile into a canvas; where the copy has no picture of it, says so. */
export async function drawTile(canvas, row) {
  canvas.dataset.row = row;
  if (canvas.width !== SIDE) { canvas.width = SIDE; canvas.height = SIDE; }
  const found = await pictureOf(row);
  if (Number(canvas.dataset.row) !== row) return; // it shows another tile by now
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, SIDE, SIDE);
  if (found) paint(pen, found, SIDE);
  else { pen.fillStyle = "#888"; pen.font = "16px system-ui, sans-serif"; pen.fillText("no picture", 26, 70); }
}

/** The sheet that holds a tile, and where; null where none does. */
export async function pictureOf(row) {
  const { about, arrays } = await frozen, i = arrays.picture[row], { side } = about;
  if (!(i >= 0)) return null;
  const number = Math.floor(i / SHEET), at = i % SHEET;
  if (!sheets.has(number)) sheets.set(number, createImageBitmap(new Blob([jpegOf("sheet", number)], { type: "image/jpeg" })));
  return { sheet: await sheets.get(number), side, x: (at % PER_ROW) * side, y: Math.floor(at / PER_ROW) * side };
}

/** Draws it into a square; few pixels stay what they are, as the server draws them. */
export function paint(pen, { sheet, side, x, y }, size) {
  pen.imageSmoothingEnabled = side > size / 2;
  pen.drawImage(sheet, x, y, side, side, 0, 0, size, size);
}
