// Answers what the page asks, out of its own file, in place of a server; in place of api.js.

import { frozen, jpegOf } from "./frozen.js";
import { paint, pictureOf } from "./frozenthumbs.js";

const FOUND_MAX = 5000, TILE = 256;
const refuse = () => { throw new Error("This page is a copy to look at: nothing can be changed in it."); };

export async function getJson(name, params = {}) {
  const { about } = await frozen;
  if (name === "changes") return new Promise(() => {}); // nothing ever changes here
  if (name === "find") return find(params.text);
  return about[name] ?? refuse();
}

export async function getArrays(name, params = {}) {
  const { about, arrays } = await frozen;
  switch (name) {
    case "points": return { about: {}, arrays: { x: arrays.x, y: arrays.y, pictured: arrays.picture.map((i) => i >= 0) } };
    case "state": return { about: about.state, arrays: { group: arrays.group, verdict: arrays.verdict } };
    case "column": return { about: about.columns.find((c) => c.name === params.name), arrays: { values: arrays[`column:${params.name}`] } };
    case "context": return context(params.row, Number(params.factor));
    default: return refuse();
  }
}

export const getBlob = refuse;
export const postJson = refuse;
export const postBlob = refuse;

async function find(text) {
  const { about, arrays } = await frozen, wanted = text.trim().toLowerCase(), rows = [];
  const files = about.images.map((image) => (image.facts.file || "").toLowerCase().includes(wanted));
  const ids = about.tile_ids.toLowerCase().split("\n");
  for (let i = 0; i < ids.length && rows.length < FOUND_MAX; i++) {
    if (files[arrays.image[i]] || ids[i].includes(wanted)) rows.push(i);
  }
  return rows;
}

/** The tile in its field, where the copy has the field; else, or if wanted, the tile alone. */
async function context(row, factor) {
  const { about, arrays } = await frozen, { facts, ...image } = about.images[arrays.image[row]];
  const number = about.fields.findIndex((field) => field.image === arrays.image[row]);
  const known = { pixel_size_nm: image.pixel_size_nm, facts: { tile_id: about.tile_ids.split("\n")[row], ...facts } };
  if (number < 0 || factor === 1) {
    const scale = TILE / Math.max(arrays.height[row], arrays.width[row]);
    const bar = { bar_px: image.bar_px * scale, bar_label: image.bar_label };
    return { about: { ...known, ...bar, width: TILE, height: TILE, box: [0, 0, TILE, TILE] }, arrays: { jpeg: await tileAlone(row) } };
  }
  const { step, ...field } = about.fields[number];
  const box = [arrays.col[row], arrays.row[row], arrays.width[row], arrays.height[row]].map((v) => v / step);
  return { about: { ...known, ...field, box }, arrays: { jpeg: jpegOf("field", number) } };
}

async function tileAlone(row) {
  const canvas = document.createElement("canvas"), found = await pictureOf(row);
  canvas.width = canvas.height = TILE;
  const pen = canvas.getContext("2d");
  pen.fillRect(0, 0, TILE, TILE);
  if (found) paint(pen, found, TILE);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return new Uint8Array(await blob.arrayBuffer());
}
