// The tiles of the focus: only those in view exist as elements, so that a million can be scrolled.

import { app, emit, verdictName } from "./store.js";
import { verdictColour } from "./colours.js";
import { drawTile } from "./thumbs.js";

const GAP = 4, SMALLEST = 64;

export class Grid {
  constructor(box) {
    this.box = box;
    this.rows = [];
    this.corner = null; // row -> short text, or null
    this.size = 112;
    this.whole = false; // whether tiles shrink until all are in view
    this.at = 0;        // position of the keyboard
    this.anchor = 0;
    this.title = document.createElement("div");
    this.title.className = "grid-title";
    this.title.hidden = true;
    this.inner = document.createElement("div");
    this.inner.className = "grid-inner";
    box.append(this.title, this.inner);
    box.tabIndex = 0;
    box.setAttribute("role", "listbox");
    box.setAttribute("aria-multiselectable", "true");
    box.setAttribute("aria-label", "Tiles");
    this.cells = new Map();
    box.addEventListener("scroll", () => this.draw());
    box.addEventListener("click", (e) => this.click(e));
    box.addEventListener("dblclick", () => emit("open-preview"));
    box.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(rows, { corner = null, title = "" } = {}) {
    this.rows = rows;
    this.corner = corner;
    this.title.hidden = !title;
    this.title.textContent = title;
    this.at = Math.min(this.at, Math.max(rows.length - 1, 0));
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.draw();
  }

  /** The side of a tile: as wanted, or less where all are to be in view. */
  get side() {
    const { clientWidth: width, clientHeight: height } = this.box, n = this.rows.length;
    if (!this.whole || !n) return this.size;
    const fits = (side) => Math.floor((width - GAP) / (side + GAP)) * Math.floor((height - GAP) / (side + GAP)) >= n;
    let side = this.size;
    while (side > SMALLEST && !fits(side)) side -= 1;
    return side;
  }

  get nColumns() { return Math.max(1, Math.floor((this.box.clientWidth - GAP) / (this.side + GAP))); }

  draw() {
    const { side, nColumns: n } = this, step = side + GAP;
    this.inner.style.height = `${Math.ceil(this.rows.length / n) * step + GAP}px`;
    const first = Math.max(0, Math.floor(this.box.scrollTop / step) - 1) * n;
    const last = Math.min(this.rows.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / step + 1) * n);
    for (const [i, cell] of this.cells) if (i < first || i >= last) { cell.remove(); this.cells.delete(i); }
    for (let i = first; i < last; i++) {
      if (!this.cells.has(i)) this.cells.set(i, this.make(i));
      const cell = this.cells.get(i);
      cell.style.cssText = `left:${GAP + (i % n) * step}px;top:${GAP + Math.floor(i / n) * step}px;` +
        `width:${side}px;height:${side}px`;
      this.mark(cell, i);
    }
    if (!this.rows.length && !this.box.querySelector(".empty")) {
      const empty = document.createElement("p");
      empty.className = "empty";
      empty.textContent = app.kept && app.focus.rows.length ? "No tile here passes the filters." : app.onlyOpen
        ? "Nothing left to do here." : "Choose a cluster on the left, or draw around tiles on the map.";
      this.box.append(empty);
    }
    if (this.rows.length) this.box.querySelector(".empty")?.remove();
    const here = this.cells.get(this.at);
    if (here) this.box.setAttribute("aria-activedescendant", here.id);
  }

  make(i) {
    const cell = document.createElement("div"), canvas = document.createElement("canvas");
    cell.className = "cell";
    cell.id = `cell-${this.box.id}-${i}`;
    cell.dataset.i = i;
    cell.setAttribute("role", "option");
    cell.append(canvas);
    this.inner.append(cell);
    drawTile(canvas, this.rows[i]);
    return cell;
  }

  mark(cell, i) {
    const row = this.rows[i], name = verdictName(app.verdict[row]);
    cell.setAttribute("aria-selected", app.picked.has(row));
    cell.setAttribute("aria-label", `tile ${row}${name ? ", " + name : ""}`);
    cell.classList.toggle("here", row === app.here);
    const notes = app.noted.get(row);
    cell.classList.toggle("noted", Boolean(notes));
    cell.title = notes ? notes.join("\n") : "";
    let tag = cell.querySelector(".tag");
    if (name && !tag) { tag = document.createElement("span"); tag.className = "tag"; cell.append(tag); }
    if (tag) {
      tag.hidden = !name;
      tag.textContent = name;
      tag.style.borderColor = verdictColour(app.verdict[row]);
    }
    const text = this.corner?.get(row);
    if (text && !cell.querySelector(".corner")) {
      const corner = document.createElement("span");
      corner.className = "corner";
      corner.textContent = text;
      cell.append(corner);
    }
  }

  refresh() { for (const [i, cell] of this.cells) this.mark(cell, i); }

  click(event) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const i = Number(cell.dataset.i);
    if (event.shiftKey) {
      const [from, to] = [Math.min(i, this.anchor), Math.max(i, this.anchor)];
      for (let k = from; k <= to; k++) app.picked.add(this.rows[k]);
    } else {
      this.toggle(i);
      this.anchor = i;
    }
    this.go(i);
    emit("picked");
  }

  toggle(i) {
    const row = this.rows[i];
    if (!app.picked.delete(row)) app.picked.add(row);
  }

  go(i) {
    if (!this.rows.length) return;
    this.at = Math.min(Math.max(i, 0), this.rows.length - 1);
    app.here = this.rows[this.at];
    const step = this.side + GAP, top = Math.floor(this.at / this.nColumns) * step;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    const bottom = top + step + GAP - this.box.clientHeight;
    if (bottom > this.box.scrollTop) this.box.scrollTop = bottom;
    this.draw();
    this.refresh();
    emit("here");
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.nColumns, ArrowDown: this.nColumns,
      Home: -this.rows.length, End: this.rows.length }[event.key];
    if (step !== undefined) {
      this.go(this.at + step);
      if (event.shiftKey) { app.picked.add(this.rows[this.at]); emit("picked"); }
    } else if (event.key === " ") {
      this.toggle(this.at);
      emit("picked");
    } else return;
    event.preventDefault();
  }
}
