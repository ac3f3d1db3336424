// The map: every point is written into the pixels of an image by hand, which needs no GPU. A second array of
// the same size holds the number of the point at each pixel, so that pointing needs no search.

import { background, mix, rgb, word32 } from "./colours.js";

const MOVING_MAX = 1_500_000; // while the map moves, more points than this are thinned

export class MapView {
  constructor(canvas, over) {
    this.canvas = canvas;
    this.over = over;
    this.x = this.y = new Float32Array(0);
    this.colours = new Uint32Array(0); // of each point
    this.focus = null;                 // Uint8Array: 1 for points that stand out, or null for all
    this.kept = null;                  // Uint8Array: 1 for points that are drawn, or null for all
    this.picked = [];
    this.here = -1;
    this.tool = "lasso";
    this.onLasso = this.onPoint = this.onClick = () => {};
    this.planned = false;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  setPoints(x, y) {
    this.x = x;
    this.y = y;
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    for (let i = 0; i < x.length; i++) {
      if (!(x[i] === x[i])) continue;
      if (x[i] < low[0]) low[0] = x[i];
      if (x[i] > high[0]) high[0] = x[i];
      if (y[i] < low[1]) low[1] = y[i];
      if (y[i] > high[1]) high[1] = y[i];
    }
    this.bounds = [low[0], low[1], high[0], high[1]];
    this.fit();
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 2), box = this.canvas.parentElement;
    const width = Math.max(1, Math.round(box.clientWidth * ratio)), height = Math.max(1, Math.round(box.clientHeight * ratio));
    if (width === this.canvas.width && height === this.canvas.height && this.image) return;
    for (const canvas of [this.canvas, this.over]) { canvas.width = width; canvas.height = height; }
    this.ratio = ratio;
    this.image = this.canvas.getContext("2d", { alpha: false }).createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.ids = new Uint32Array(width * height);
    this.fit();
  }

  fit() {
    if (!this.image || !this.bounds || !isFinite(this.bounds[0])) return;
    const [x0, y0, x1, y1] = this.bounds, { width, height } = this.canvas;
    this.scale = 0.92 * Math.min(width / (x1 - x0 || 1), height / (y1 - y0 || 1));
    this.left = width / 2 - this.scale * (x0 + x1) / 2;
    this.top = height / 2 + this.scale * (y0 + y1) / 2;
    this.fitted = this.scale;
    this.redraw();
  }

  redraw() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => { this.planned = false; this.draw(); });
  }

  /** Offsets of the pixels of a disc, in rows of the image. */
  disc(radius, width) {
    const offsets = [];
    const reach = Math.ceil(radius);
    for (let r = -reach; r <= reach; r++) {
      for (let c = -reach; c <= reach; c++) if (r * r + c * c <= radius * radius + 0.3) offsets.push(r * width + c);
    }
    return Int32Array.from(offsets);
  }

  get radius() {
    const n = this.x.length, zoom = Math.sqrt(this.scale / this.fitted || 1);
    const start = n > 400_000 ? 0 : n > 60_000 ? 0.6 : n > 8_000 ? 1.3 : n > 1_500 ? 2.2 : 3;
    return Math.min(7, start * this.ratio * Math.max(1, zoom * 0.8));
  }

  draw() {
    if (!this.image || this.scale === undefined) return;
    this.pixels.fill(word32(background()));
    const step = this.moving ? Math.ceil(this.x.length / MOVING_MAX) : 1;
    if (this.focus) {
      this.paint(this.pixels, this.faintColours(), 0, step);
      this.paint(this.pixels, this.colours, 1, 1);
    } else this.paint(this.pixels, this.colours, -1, step);
    this.idsAreOld = true;
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
    this.drawOver();
  }

  /** Writes the word of each point whose focus is `which` (-1: of all) to the pixels of its disc. */
  paint(target, words, which, step) {
    const { x, y, scale, left, top, kept } = this, n = x.length, focus = which < 0 ? null : this.focus;
    const { width, height } = this.canvas, radius = this.radius, margin = Math.ceil(radius) + 1;
    const offsets = this.disc(radius, width), nOffsets = offsets.length, right = width - margin, bottom = height - margin;
    for (let i = 0; i < n; i += step) {
      if ((focus !== null && focus[i] !== which) || (kept !== null && kept[i] === 0)) continue;
      const c = (x[i] * scale + left) | 0, r = (top - y[i] * scale) | 0; // NaN becomes 0, outside
      if (c < margin || r < margin || c >= right || r >= bottom) continue;
      const at = r * width + c, word = words[i];
      if (nOffsets === 1) target[at] = word;
      else for (let k = 0; k < nOffsets; k++) target[at + offsets[k]] = word;
    }
  }

  /** Colours of points that do not stand out, mixed once for each set of colours. */
  faintColours() {
    if (this.faintOf === this.colours && this.faintOn === background().join()) return this.faint;
    const { colours } = this, faint = new Uint32Array(colours.length), made = new Map(), ground = background();
    let last = -1, found = 0;
    for (let i = 0; i < colours.length; i++) {
      const word = colours[i];
      if (word !== last) {
        found = made.get(word);
        if (found === undefined) {
          const colour = [word & 255, (word >> 8) & 255, (word >> 16) & 255];
          found = word32(mix(colour, ground, 0.72).map(Math.round));
          made.set(word, found);
        }
        last = word;
      }
      faint[i] = found;
    }
    Object.assign(this, { faint, faintOf: colours, faintOn: ground.join() });
    return faint;
  }

  /** Numbers of the points at each pixel, 0 for none; made when somebody points after a redraw. */
  idsAtPixels() {
    if (this.idsAreOld) {
      if (this.numbers?.length !== this.x.length) this.numbers = Uint32Array.from(this.x, (_, i) => i + 1);
      this.ids.fill(0);
      if (this.focus) this.paint(this.ids, this.numbers, 0, 1);
      this.paint(this.ids, this.numbers, this.focus ? 1 : -1, 1);
      this.idsAreOld = false;
    }
    return this.ids;
  }

  drawOver() {
    const pen = this.over.getContext("2d"), { width, height } = this.over;
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.documentElement);
    pen.strokeStyle = style.getPropertyValue("--pick");
    pen.lineWidth = 1.6 * this.ratio;
    const ring = Math.max(3.5 * this.ratio, this.radius + 2);
    for (const i of this.picked.slice(0, 3000)) this.ring(pen, i, ring);
    pen.strokeStyle = style.getPropertyValue("--ink");
    pen.lineWidth = 2 * this.ratio;
    if (this.here >= 0) this.ring(pen, this.here, ring + 2 * this.ratio);
    if (this.path?.length > 1) {
      pen.beginPath();
      this.path.forEach(([px, py], k) => (k ? pen.lineTo(px, py) : pen.moveTo(px, py)));
      pen.closePath();
      pen.fillStyle = "rgb(80 140 200 / .15)";
      pen.fill();
      pen.setLineDash([5, 4]);
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  ring(pen, i, radius) {
    const c = this.x[i] * this.scale + this.left, r = this.top - this.y[i] * this.scale;
    if (!(c > 0 && r > 0 && c < this.over.width && r < this.over.height)) return;
    pen.beginPath();
    pen.arc(c, r, radius, 0, 7);
    pen.stroke();
  }

  /** Rows inside the lasso: its area is drawn once, then each point looks up its pixel. */
  inside(path) {
    const { width, height } = this.canvas, mask = document.createElement("canvas");
    mask.width = width;
    mask.height = height;
    const pen = mask.getContext("2d", { willReadFrequently: true });
    pen.beginPath();
    path.forEach(([px, py], k) => (k ? pen.lineTo(px, py) : pen.moveTo(px, py)));
    pen.closePath();
    pen.fill("evenodd");
    const area = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
    const { x, y, scale, left, top, kept } = this, rows = [];
    for (let i = 0; i < x.length; i++) {
      if (kept !== null && kept[i] === 0) continue;
      const c = (x[i] * scale + left) | 0, r = (top - y[i] * scale) | 0;
      if (c >= 0 && r >= 0 && c < width && r < height && x[i] === x[i] && area[r * width + c] >>> 24 > 127) rows.push(i);
    }
    return rows;
  }

  /** The point at a place, or the nearest within six pixels; -1 for none. */
  pointAt(px, py) {
    if (!this.ids || this.moving) return -1;
    const ids = this.idsAtPixels();
    const { width, height } = this.canvas, reach = Math.round(6 * this.ratio);
    let found = -1, nearest = Infinity;
    for (let r = Math.max(0, py - reach); r <= Math.min(height - 1, py + reach); r++) {
      for (let c = Math.max(0, px - reach); c <= Math.min(width - 1, px + reach); c++) {
        const id = ids[r * width + c], away = (r - py) ** 2 + (c - px) ** 2;
        if (id && away < nearest) { nearest = away; found = id - 1; }
      }
    }
    return found;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio].map(Math.round);
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      this.start = this.last = this.place(e);
      const lasso = (this.tool === "lasso") !== (e.shiftKey || e.button === 1);
      this.path = lasso ? [this.start] : null;
      this.dragging = !lasso;
    });
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => this.up(e));
    canvas.addEventListener("pointerleave", () => this.onPoint(-1));
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0018)), this.place(e));
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => {
      const shift = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[e.key];
      if (shift) { this.left += shift[0]; this.top += shift[1]; this.redraw(); }
      else if (e.key === "+" || e.key === "=") this.zoom(1.3, [canvas.width / 2, canvas.height / 2]);
      else if (e.key === "-") this.zoom(1 / 1.3, [canvas.width / 2, canvas.height / 2]);
      else return;
      e.preventDefault();
    });
  }

  move(event) {
    const at = this.place(event);
    if (this.path) {
      const before = this.path.at(-1);
      if (Math.hypot(at[0] - before[0], at[1] - before[1]) > 2) { this.path.push(at); this.drawOver(); }
    } else if (this.dragging) {
      this.left += at[0] - this.last[0];
      this.top += at[1] - this.last[1];
      this.last = at;
      this.keepMoving();
    } else {
      this.onPoint(this.pointAt(...at), event);
    }
  }

  up(event) {
    const at = this.place(event), path = this.path;
    const still = this.start && Math.hypot(at[0] - this.start[0], at[1] - this.start[1]) < 4 && !(path?.length > 4);
    this.path = null;
    this.dragging = false;
    this.drawOver();
    if (still) this.onClick(this.pointAt(...at), event);
    else if (path?.length > 2) {
      const rows = this.inside(path), every = Math.ceil(path.length / 60);
      const drawn = path.filter((_, k) => k % every === 0)
        .map(([c, r]) => [(c - this.left) / this.scale, (this.top - r) / this.scale].map((v) => Number(v.toPrecision(5))));
      this.onLasso(rows, drawn);
    }
  }

  zoom(factor, [px, py]) {
    this.scale *= factor;
    this.left = px - (px - this.left) * factor;
    this.top = py - (py - this.top) * factor;
    this.keepMoving();
  }

  keepMoving() {
    this.moving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { this.moving = false; this.redraw(); }, 160);
    this.redraw();
  }
}
