// Colours: Okabe and Ito's for few categories, their lighter and darker forms for many, viridis for numbers.

import { app, CLASS } from "./store.js";

const OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800"];
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

export const isDark = () => document.documentElement.dataset.theme === "dark";
export const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
export const hex = (c) => "#" + c.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");
export const mix = (a, b, share) => a.map((v, i) => v * (1 - share) + b[i] * share);
export const word32 = (c) => (255 << 24 | c[2] << 16 | c[1] << 8 | c[0]) >>> 0;

export function category(i) {
  const colour = rgb(OKABE_ITO[i % OKABE_ITO.length]), turn = Math.floor(i / OKABE_ITO.length);
  if (!turn) return hex(colour);
  const amount = [0.45, 0.4, 0.7, 0.62, 0.25, 0.2][(turn - 1) % 6];
  return hex(mix(colour, turn % 2 ? [255, 255, 255] : [0, 0, 0], amount));
}

export function ramp(t) {
  const at = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1), i = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return hex(mix(rgb(VIRIDIS[i]), rgb(VIRIDIS[i + 1]), at - i));
}

export const background = () => (isDark() ? [20, 24, 27] : [255, 255, 255]);
export const unknown = () => (isDark() ? "#59636c" : "#b4bcc3");

/** The colour of a verdict by its number. */
export function verdictColour(code) {
  const word = app.verdicts[code];
  if (!word) return unknown();
  if (word === "artefact") return "#b3261e";
  if (word === "between") return isDark() ? "#d8d8d8" : "#3c3c3c";
  const i = app.classes.findIndex((c) => CLASS + c.key === word);
  return (i >= 0 && /^#[0-9a-f]{6}$/i.test(app.classes[i].colour) && app.classes[i].colour) || category(Math.max(i, 0) + 3);
}

export const groupColour = (code) => {
  const key = app.groups[code] ?? "";
  if (/^\d+$/.test(key)) return category(Number(key));
  const numbers = app.groups.filter((k) => /^\d+$/.test(k)); // parts of splits follow, with colours of their own
  return category(Math.max(-1, ...numbers.map(Number)) + 1 + code - numbers.length);
};
