// Typed arrays out of one buffer: see wootz.explore.points.pack.

const TYPES = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, uint32: Uint32Array };

export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const a of about.arrays) arrays[a.name] = new TYPES[a.dtype](buffer, 4 + length + a.offset, a.length);
  return { about, arrays };
}

const LISTED_MAX = 200_000;

/** Rows as a request carries them: a list, or, of more than 200,000, a bit for each of n tiles. */
export function sentRows(rows, n) {
  if (rows.length <= LISTED_MAX) return rows;
  const bits = new Uint8Array(Math.ceil(n / 8)), texts = [];
  for (const row of rows) bits[row >> 3] |= 1 << (row & 7);
  for (let i = 0; i < bits.length; i += 30_000) texts.push(btoa(String.fromCharCode(...bits.subarray(i, i + 30_000))));
  return { bits: texts.join("") };
}
