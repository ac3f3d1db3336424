// Typed arrays out of one buffer: see wootz.explore.points.pack.

const TYPES = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, uint32: Uint32Array };

export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const a of about.arrays) arrays[a.name] = new TYPES[a.dtype](buffer, 4 + length + a.offset, a.length);
  return { about, arrays };
}
