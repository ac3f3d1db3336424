// The tile in its field, with a box around it and a scale bar.

import { getArrays } from "./api.js";
import { app } from "./store.js";
import { element } from "./cards.js";

const WORDS = { hv_kv: ["voltage", "kV"], wd_mm: ["working distance", "mm"], magnification: ["magnification", "x"],
  height_px: ["field height", "px"], width_px: ["field width", "px"], pixel_size_nm: ["pixel", "nm"], tile_id: ["tile", ""] };
let wanted = 0, shown = null;

export async function showPreview(canvas, facts, factor) {
  const turn = ++wanted, { here: row } = app;
  if (row < 0) return;
  let found;
  try { found = await getArrays("context", { row, factor }); } catch { return; }
  if (turn !== wanted) return; // the next one is on its way
  shown = { about: found.about, picture: await createImageBitmap(new Blob([found.arrays.jpeg], { type: "image/jpeg" })) };
  if (turn !== wanted) return;
  drawPreview(canvas);
  const { about } = found, { row: _, col: __, tile_id, file = "", ...others } = about.facts;
  const pixel = about.pixel_size_nm ? Number(about.pixel_size_nm.toPrecision(3)) : "unknown";
  const listed = { pixel_size_nm: pixel, ...others, file: file.split(/[\\/]/).pop(), tile_id };
  const notes = (app.noted.get(row) || []).map((text) => {
    const line = element("div", "note");
    line.append(element("dt", "", "note"), element("dd", "", text));
    return line;
  });
  facts.replaceChildren(...notes, ...Object.entries(listed).map(([key, value]) => {
    const [name, unit] = WORDS[key] || [key, ""], line = element("div");
    line.append(element("dt", "", name), element("dd", "", `${value}${unit && value !== "unknown" ? " " + unit : ""}`));
    return line;
  }));
}

export function drawPreview(canvas) {
  const ratio = devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  if (!shown) return;
  const { about, picture } = shown;
  const scale = Math.min(canvas.width / about.width, canvas.height / about.height);
  const left = (canvas.width - scale * about.width) / 2, top = (canvas.height - scale * about.height) / 2;
  pen.imageSmoothingEnabled = scale < 3; // large pixels stay what they are
  pen.drawImage(picture, left, top, scale * about.width, scale * about.height);
  const [x, y, w, h] = about.box.map((v) => v * scale);
  if (about.box[2] < about.width - 1) {
    pen.lineWidth = 3 * ratio; pen.strokeStyle = "#000"; pen.strokeRect(left + x, top + y, w, h);
    pen.lineWidth = 1.5 * ratio; pen.strokeStyle = "#ffd24d"; pen.strokeRect(left + x, top + y, w, h);
  }
  drawBar(pen, about.bar_px * scale, about.bar_label, left + 10 * ratio, top + scale * about.height - 10 * ratio, ratio);
}

function drawBar(pen, length, label, x, y, ratio) {
  pen.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  const width = Math.max(length, pen.measureText(label).width) + 12 * ratio;
  pen.fillStyle = "rgb(0 0 0 / .6)";
  pen.fillRect(x - 6 * ratio, y - 22 * ratio, width, 28 * ratio);
  pen.fillStyle = "#fff";
  pen.fillRect(x, y - 3 * ratio, length, 4 * ratio);
  pen.fillText(label, x, y - 8 * ratio);
}
