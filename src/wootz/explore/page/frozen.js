// What a copy of the explorer holds, read from the elements of its own file.

import { unpack } from "./packed.js";

const decoded = (element) => Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));

/** Tables and arrays; a promise. */
export const frozen = read();

async function read() {
  if (!("DecompressionStream" in self)) throw new Error("This page needs a browser of 2023 or later.");
  const packed = new Blob([decoded(document.querySelector("script.frozen"))]);
  const buffer = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  return unpack(buffer);
}

const elements = { sheet: document.querySelectorAll("script.sheet"), field: document.querySelectorAll("script.field") };

/** The JPEG of a sheet of tiles, or of a field. */
export const jpegOf = (kind, i) => decoded(elements[kind][i]);
